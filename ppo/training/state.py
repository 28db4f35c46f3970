"""Saving a run and finding it again: what its checkpoints hold, gathered from all processes.

Parameters and statistics are equal on all ranks and saved once. Environments, running episodes and
discounted sums belong to a rank: those of rank 1 are saved as `rank1.collector.sums` and so on.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ppo.algorithm import switch
from ppo.algorithm.learner import Learner
from ppo.algorithm.snapshot import TENSORS_ADDED_LATER
from ppo.config import Config
from ppo.core import parallel
from ppo.core.errors import UserError
from ppo.envs.changed import refuse_changes
from ppo.envs.spaces import describe
from ppo.runs import checkpoint
from ppo.runs.checkpoint import Checkpoint
from ppo.runs.folder import RunFolder
from ppo.runs.summary import changes_between
from ppo.training.callback_state import PREFIX

# What the shapes of weights and of the critic's statistics follow from.
SHAPING = ("network.", "auxiliary.", "balancing.", "ppo.value_", "ppo.return_", "ppo.normalize_r")


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
        meta = {**facts(self.learner), **meta, "exact": exact}
        everything = gather(self.learner) | tensors
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
                found = find(folder, self.learner)
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
        found = share(found, self.device)
        if found is None:
            return None
        own = of_this_rank(found.tensors)
        others = {name: own.pop(name) for name in list(own) if name.startswith(PREFIX)}
        self.learner.load_state_dict(own)
        self.learner.counters.update(found.meta["counters"])
        self.learner.wall_time = found.meta["wall_time_s"]
        self.learner.timing.update(found.meta.get("timing", {}))
        saved, mine = found.meta.get("graphs"), self.learner.switch
        self.learner.switch = switch.resumed(saved, mine, self.device)
        self.restarted_at = found.batch if found.meta.get("exact", True) else -1
        return found, others


def gather(learner: Learner) -> dict[str, Tensor]:
    """Every tensor of the run; all ranks call it, rank 0 gets those of the others too."""
    state = learner.state_dict()
    if not parallel.is_active():
        return state
    own = {
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in state.items()
        if name.startswith(learner.rank_prefixes)
    }
    parts = parallel.gather_bytes(safetensors.torch.save(own), learner.device)
    for number, part in enumerate(parts[1:], 1):
        for name, value in safetensors.torch.load(part).items():
            state[f"rank{number}.{name}"] = value
    return state


def of_this_rank(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that this rank loads."""
    prefix = f"rank{parallel.rank()}."
    shared = {name: value for name, value in tensors.items() if not name.startswith("rank")}
    own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return shared | own


def share(found: Checkpoint | None, device: torch.device) -> Checkpoint | None:
    """Rank 0's checkpoint, on all ranks: they need not see its files."""
    if not parallel.is_active():
        return found
    is_first = parallel.rank() == 0
    data = checkpoint.to_bytes(found) if is_first and found is not None else b""
    sent = parallel.gather_bytes(data, device)[0]
    if is_first or not sent:
        return found
    return checkpoint.from_bytes(sent)


def facts(learner: Learner) -> dict[str, Any]:
    """Facts about the process that wrote a checkpoint and what it must be loaded into."""
    envs = learner.collector.envs
    return {
        "counters": learner.counters,
        "wall_time_s": learner.wall_time,
        "timing": learner.timing,
        "components": list(envs.component_names),
        "observation_space": describe(envs.observation_space),
        "action_space": describe(envs.action_space),
        "num_mask": envs.layout.num_mask,
        "restore_level": envs.restore_level,
        "processes": parallel.world_size(),
        "num_envs": envs.num_envs * parallel.world_size(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": str(learner.device),
        "layout": layout(learner),
        "graphs": learner.switch,
    }


def layout(learner: Learner) -> str:
    """A digest of what a checkpoint must agree with to be loaded."""
    shapes = [
        (name, tuple(value.shape))
        for name, value in learner.objective.state_dict().items()
        if f"objective.{name}" not in TENSORS_ADDED_LATER
    ]
    return hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]


def find(folder: RunFolder, learner: Learner) -> Checkpoint | None:
    """The newest usable checkpoint of a run; None where it has none yet.

    Raises:
        UserError: it is of another number of processes or environments, of another environment, or
            of another network.
        RunError: none of its checkpoints can be used.
    """

    def misfit(found: Checkpoint) -> str | None:
        processes, envs = found.meta.get("processes", 1), found.meta.get("num_envs")
        if processes != parallel.world_size():
            raise UserError(
                f"--resume {folder.name}: it was trained by {processes} process(es) and this is "
                f"{parallel.world_size()}; start it with torchrun --nproc-per-node {processes}"
            )
        now = learner.collector.envs.num_envs * processes
        if envs not in (None, now):
            raise UserError(
                f"env.num_envs: {now} differs from the {envs} that {folder.name} was started "
                f"with; resume it with env.num_envs={envs}"
            )
        changes(found, learner, folder.name)
        if found.meta["layout"] == layout(learner):
            return None
        _refuse_other_network(folder, learner.config)
        return "its network or critic differs from this configuration"

    return checkpoint.load_latest(folder, misfit)


def _refuse_other_network(folder: RunFolder, config: Config) -> None:
    """
    Raises:
        UserError: settings that weights depend on are not those of the run; a line each.
    """
    try:
        former = Config.load_run(folder.path / "config.yaml")[0]
    except UserError:  # of another version: nothing to compare with
        return
    changed = changes_between(former.to_dict(), config.to_dict())
    shaping = [change.split(" ", 1) for change in changed if change.startswith(SHAPING)]
    lines = [
        f"{key}: {values} since {folder.name} was started, whose weights fit the former alone; "
        "leave it as it was"
        for key, values in shaping
    ]
    if lines:
        raise UserError(*lines)


def changes(found: Checkpoint, learner: Learner, name: str) -> list[str]:
    """What is new about the environment, in words, where the run can go on nevertheless.

    Raises:
        UserError: its actions, observations or reward components are others.
    """
    envs, meta = learner.collector.envs, found.meta
    then, now = meta["components"], list(envs.component_names)
    if then != now:
        raise UserError(
            f"env.id: its reward components differ from those of {name} "
            f"({', '.join(then)} -> {', '.join(now)}); the critic has a value for each"
        )
    trained = meta["observation_space"], meta["action_space"]
    return refuse_changes(trained, envs, name, meta.get("num_mask"))


def differences(found: Checkpoint, learner: Learner) -> list[str]:
    """Why a resumed run will not have the same bits, in words."""
    now = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": str(learner.device),
    }
    lines = [
        f"resumed with another {name} ({found.meta[name]} -> {value}): "
        "the same run, not the same bits"
        for name, value in now.items()
        if found.meta[name] != value
    ]
    if switch.lost(found.meta.get("graphs"), learner.switch, found.batch):
        lines.append("resumed without compiled graphs: the same run, not the same bits")
    if not found.meta.get("exact", True):
        lines.append(
            "resumed between two checkpoints: this environment's state cannot be saved, so its "
            "episodes began anew and the run is not the one that was never stopped"
        )
    return lines + changes(found, learner, "this run")
