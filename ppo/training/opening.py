"""The beginning of a run: the actor it starts from, its folder, and what cannot be resumed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ppo.algorithm import automatic
from ppo.algorithm.learner import Learner
from ppo.algorithm.schedules import scheduled
from ppo.config import Config, TrainConfig
from ppo.core.blame import brief
from ppo.core.errors import UserError
from ppo.envs.base import Environments
from ppo.envs.given import Given, read, settle
from ppo.policies.policy import load_policy
from ppo.runs import provenance, trust
from ppo.runs.folder import RunFolder
from ppo.runs.names import find_run
from ppo.runs.summary import changed_settings, keep_former_settings
from ppo.training.fine_tuning import adopt_actor, adopt_all

SCHEDULES = {  # number in `ppo`: its schedule
    "learning_rate": "learning_rate_schedule",
    "clip_epsilon": "clip_schedule",
}


def check_form(config: Any) -> None:
    """
    Raises:
        UserError: it is no Config; says how to make one of it.
    """
    if isinstance(config, Config):
        return
    kind, make = f"a {type(config).__name__}", "load()"
    if config is None:
        kind = "None"
    elif isinstance(config, type):
        kind = f"the class {config.__name__}"
    elif isinstance(config, str | Path):
        kind = brief(str(config), longest=60)
        make = f"load({kind})"
    elif isinstance(config, Mapping):
        make = "from_dict(...)"
    raise UserError(f"Trainer: {kind} is no configuration; give a Config, such as Config.{make}")


def initial_run(results: Path, train: TrainConfig) -> Path | None:
    """The folder of the run that `train.initial_policy` names; None: it names none.

    Raises:
        UserError: there is no such run.
    """
    try:
        return find_run(results, train.initial_policy) if train.initial_policy else None
    except UserError as error:
        raise UserError(f"train.initial_policy: {error}") from error


def adopt_policy(learner: Learner, config: Config, folder: Path | None) -> list[str]:
    """Start from what `train.initial_policy` names; events for the first record.

    Args:
        folder: folder of that run; None: there is none to start from.
    """
    run = config.train.initial_policy
    if run is None or folder is None:
        return []
    if config.train.initial_parts == "all":
        return adopt_all(learner, config, folder, run)
    policy = load_policy(folder)
    events = policy.check_environments(learner.collector.envs, run)
    adopt_actor(learner.objective.agent, policy.agent, run)
    return [*events, f"the actor starts from {run}; the critic is new"]


def settle_environment(
    config: Config, env: Any, ranks: int
) -> tuple[Config, Given | None, list[str]]:
    """The settings with those that follow from the environment, what it is, and notes.

    Args:
        env: as the user gave it; None: `env.id` names it.
        ranks: processes, each of which was given one.
    """
    if env is None:
        return config, None, []
    given = read(env)
    config, notes = settle(config, given, ranks)
    return config, given, notes


def limits(envs: Environments, config: Config) -> list[str]:
    """Why a resumed run may not equal one that was never stopped, in words."""
    if envs.restore_level != "boundary":
        return []
    interval = config.train.checkpoint_interval
    steps = interval * config.ppo.num_steps
    same = " and after each evaluation" if config.evaluation.env == "same" else ""
    return [
        f"this environment's state cannot be saved: episodes start anew at each checkpoint{same} "
        f"(train.checkpoint_interval {interval:,}: after {steps:,} steps of each), in every run; "
        "a run that is stopped in between is not the same afterwards"
    ]


def open_folder(
    folder: RunFolder | None,
    results: Path,
    config: Config,
    learner: Learner,
    here: Path,
    given: Given | None,
) -> tuple[RunFolder, dict[str, Any], list[str]]:
    """The run's folder, new or cut to the batches of the learner, and locked.

    Args:
        here: the folder in which the run was started.
        given: the environment, where it was given as an object.

    Returns:
        It; what differs, and from what, for the header; events of changed settings.
    """
    facts = provenance.collect(torch=torch, device=str(learner.device), folder=here)
    facts["code"] = trust.fingerprints(config)
    facts["environment"] = given.words if given else f"the id {config.env.id}"
    text = config.showing(automatic.taken(config, learner)).to_yaml()
    events: list[str] = []
    if folder is None:
        texts = {"config.yaml": text, "command.txt": shlex.join(sys.argv) + "\n"}
        # Of a checkpoint, so that a full disk shows now.
        room = sum(value.nbytes for value in learner.state_dict().values())
        folder = RunFolder.create(results, texts, room=room)
        differs = changed_settings(config, folder)
    else:
        batch = learner.counters["batch"]
        folder.truncate(batch)
        differs, events = _adopt_settings(folder, config, learner.counters)
        events += trust.check(config, folder, trust=True)
        folder.write_text("config.yaml", text)
    folder.write_json("provenance.json", facts)
    folder.set_status("running", **facts)
    return folder, differs, events


def _adopt_settings(
    folder: RunFolder, config: Config, counters: dict[str, int]
) -> tuple[dict[str, Any], list[str]]:
    """Say, and keep, what the settings of the batches so far had otherwise."""
    if not counters["batch"]:  # nothing was trained with the former ones
        return {}, []
    former = keep_former_settings(config, folder, counters["batch"])
    if not former.changes:
        return {}, []
    events = [f"resumed with {change}" for change in former.changes]
    if former.config is not None:
        events += _jumps(former.config, config, counters)
    return {"previous": f"batch {counters['batch']}", "differs": former.changes}, events


def _jumps(former: Config, config: Config, counters: dict[str, int]) -> list[str]:
    """What a schedule gives from now on, where the former settings would give something else."""
    lines = []
    for name, schedule in SCHEDULES.items():
        kinds = {getattr(whose.ppo, schedule) for whose in (former, config)}
        if "linear" not in kinds or "kl" in kinds:
            continue
        then, now = (
            scheduled(
                getattr(whose.ppo, name),
                getattr(whose.ppo, schedule),
                min(1.0, counters["env_steps"] / whose.train.total_timesteps),
            )
            for whose in (former, config)
        )
        if then != now:
            lines.append(
                f"from batch {counters['batch']} on ppo.{name} is {now:.4g} "
                f"({then:.4g} by the former settings)"
            )
    return lines
