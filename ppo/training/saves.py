"""Saving a run and finding it again: every process takes part, the first one has the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ppo.algorithm import switch
from ppo.algorithm.learner import Learner
from ppo.core import parallel
from ppo.core.errors import UserError
from ppo.runs import checkpoint
from ppo.runs.checkpoint import Checkpoint
from ppo.runs.folder import RunFolder
from ppo.training import state as saving
from ppo.training.callback_state import PREFIX


class Saves:
    """Checkpoints of one run.

    Args:
        keep: how many of the newest stay.

    Attributes:
        restarted_at: batch at which environments without a state were started anew.
    """

    def __init__(self, learner: Learner, keep: int) -> None:
        self.learner, self.keep = learner, keep
        self.device = learner.device
        self.restarted_at = -1

    @property
    def _restarts(self) -> bool:
        return self.learner.collector.envs.restore_level == "boundary"

    def save(
        self,
        folder: RunFolder | None,
        meta: dict[str, Any],
        tensors: dict[str, Tensor],
        regular: bool,
        best: bool = False,
    ) -> Path | None:
        """The checkpoint's path; None where this process has no folder.

        Args:
            meta, tensors: what there is beside the learner.
            regular: a run that is never interrupted saves here too.
        """
        batch = self.learner.counters["batch"]
        if regular and self._restarts and self.restarted_at != batch:
            # Its state cannot be saved, so every run starts its episodes anew here: a resumed run
            # then equals one that was never stopped.
            self.learner.collector.reset()
            self.restarted_at = batch
        exact = not self._restarts or self.restarted_at == batch
        meta = {**saving.facts(self.learner), **meta, "exact": exact}
        everything = saving.gather(self.learner) | tensors
        with parallel.together(self.device):
            if folder is None:
                return None
            return checkpoint.save(folder, batch, everything, meta, keep=self.keep, best=best)

    def load(self, folder: RunFolder | None) -> tuple[Checkpoint, dict[str, Tensor]] | None:
        """The learner goes to where the run stopped; None where it has no checkpoint yet.

        Returns:
            The checkpoint, and the tensors that were given to `save`.

        Raises:
            UserError: it had one, and it is gone.
        """
        found = None
        with parallel.together(self.device):
            if folder is not None:
                folder.lock()
                folder.remove_stale()
                found = saving.find(folder, self.learner)
                # One that is killed may have none yet; these saved at their end.
                if found is None and folder.status() in ("finished", "interrupted"):
                    if number := len(folder.records()):
                        raise UserError(
                            f"--resume {folder.name}: its checkpoints are gone, without which its "
                            f"{number} batches cannot go on; begin a new run"
                        )
                if found is not None and folder.status() == "finished":
                    found.meta["stop"] = None  # that a callback ended it: it is to go on now
                checkpoint.tidy(folder, self.keep)
        found = saving.share(found, self.device)
        if found is None:
            return None
        own = saving.of_this_rank(found.tensors)
        others = {name: own.pop(name) for name in list(own) if name.startswith(PREFIX)}
        self.learner.load_state_dict(own)
        self.learner.counters.update(found.meta["counters"])
        self.learner.wall_time = found.meta["wall_time_s"]
        self.learner.timing.update(found.meta.get("timing", {}))
        saved, mine = found.meta.get("graphs"), self.learner.switch
        self.learner.switch = switch.resumed(saved, mine, self.device)
        self.restarted_at = found.batch if found.meta.get("exact", True) else -1
        return found, others
