"""What a checkpoint of a run holds, gathered from all processes, and the way back from it.

Parameters and statistics are equal on all ranks and saved once. Environments, running episodes and
discounted sums belong to a rank: those of rank 1 are saved as `rank1.collector.sums` and so on.
"""

from __future__ import annotations

import hashlib
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ppo.algorithm import switch
from ppo.algorithm.learner import Learner
from ppo.algorithm.schedules import scheduled
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

# What the shapes of weights and of the critic's statistics follow from.
SHAPING = ("network.", "auxiliary.", "balancing.", "ppo.value_", "ppo.return_", "ppo.normalize_r")
SCHEDULES = {  # number in `ppo`: its schedule
    "learning_rate": "learning_rate_schedule",
    "clip_epsilon": "clip_schedule",
}


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


def jumps(former: Config, config: Config, counters: dict[str, int]) -> list[str]:
    """What a schedule gives from now on, where the former settings would give something else."""
    lines = []
    for name, schedule in SCHEDULES.items():
        kinds = {getattr(whose.ppo, schedule) for whose in (former, config)}
        values = []
        for whose in (former, config):
            kind, start = getattr(whose.ppo, schedule), getattr(whose.ppo, name)
            progress = min(1.0, counters["env_steps"] / whose.train.total_timesteps)
            known = kind in ("constant", "linear")
            values.append(scheduled(start, kind, progress) if known else None)
        then, now = values
        if kinds != {"constant"} and None not in values and then != now:
            lines.append(
                f"from batch {counters['batch']} on ppo.{name} is {now:.4g} "
                f"({then:.4g} by the former settings)"
            )
    return lines


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
