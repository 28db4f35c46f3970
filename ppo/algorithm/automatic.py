"""Before a run: every setting that is `auto` gets its value; what its files show of that."""

from __future__ import annotations

import re
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch

from ppo.algorithm.choices import Choice, choose
from ppo.algorithm.eyes import encoder_kind
from ppo.algorithm.learner import Learner
from ppo.config import Config
from ppo.config.automatic import AUTO
from ppo.core import parallel
from ppo.core.errors import UserError
from ppo.core.figures import written
from ppo.envs.base import Environments
from ppo.envs.given import Given
from ppo.envs.look import Facts, facts_of


def chosen(
    config: Config,
    env: Given | None = None,
    device: torch.device | None = None,
) -> tuple[Config, list[str]]:
    """The settings without `auto`, and lines that give the reasons.

    Rank 0 looks; the others take its facts.

    Raises:
        UserError: the environment cannot be made, or the values do not fit the user's own.
    """
    if not config.open:
        return config, []
    device = device or torch.device("cpu")
    with parallel.together(device):
        plays = "ppo.num_steps" in config.open
        found = facts_of(config, env, plays) if parallel.rank() == 0 else None
    facts = Facts(*parallel.share_json(found, device))
    choices = choose(config, facts, parallel.world_size())
    values = {choice.name: choice.value for choice in choices}
    told = [choice for choice in choices if facts.action_entries != 0 or choice.name not in NOISE]
    return config.chosen(values, facts.steps), lines(told, config, facts.steps)


NOISE = ("network.initial_log_std", "ppo.noise")  # of continuous actions


def lines(choices: list[Choice], config: Config, look: int) -> list[str]:
    """One line on the size of a batch with its reasons, one that lists what else was chosen.

    Args:
        look: the steps that were played to find out.
    """
    values = {choice.name: choice.value for choice in choices}
    num_envs = values.get("env.num_envs", config.env.num_envs)
    num_steps = values.get("ppo.num_steps", config.ppo.num_steps)
    reasons = ", ".join(choice.reason for choice in choices if choice.reason)
    found = []
    if reasons:
        reasons += f" (a look of {look:,} steps)" if look else ""
        found.append(f"auto: {num_envs:,} environments x {num_steps:,} steps: {reasons}")
    rest = [  # without a section that goes without saying
        f"{re.sub('^(ppo|network|env)[.]', '', choice.name)} {shown(choice.value)}"
        for choice in choices
        if choice.name not in ("env.num_envs", "ppo.num_steps")
    ]
    if rest:
        found.append(f"auto: {', '.join(rest)}")
    return found


def shown(value: Any) -> str:
    """A value of a setting in a line for the user."""
    return f"{value:g}" if isinstance(value, float) else written(value)


LEARNED = ("network.", "ppo.gamma_schedule")  # what a policy that was learned is made of


def of_run(config: Config, folder: Path | None, only: tuple[str, ...] = ("",)) -> Config:
    """What is `auto` becomes what a run has; the rest stays open.

    Args:
        folder: of the run that is resumed or started from; None: there is none.
        only: how the names of the settings begin that are meant.
    """
    names = [name for name in config.open if name.startswith(only)]
    path = None if folder is None else folder / "config.yaml"
    if not names or path is None or not path.exists():
        return config
    try:
        run = Config.load_run(path)[0]
    except UserError:  # of another version: chosen anew
        return config
    tree = run.to_dict()
    values = {name: tree[name.split(".")[0]][name.split(".")[1]] for name in names}
    # Of a run that is started from, the look is its own; this one's is still to come.
    steps = config.auto.steps if only == LEARNED else run.auto.steps
    return config.chosen(values, steps)


def taken(config: Config, learner: Learner) -> dict[str, str]:
    """What `auto` is in a run, of settings that are decided anew where its file is read."""
    graphs = learner.switch.batch is not None
    return taken_with(config, learner.collector.envs, learner.device, graphs)


def taken_with(
    config: Config, envs: Environments, device: torch.device, graphs: bool
) -> dict[str, str]:
    """`taken` of a run with these environments, on this device, compiled or not."""
    asked = envs.backend in ("sync", "async", "vector", "torch")  # those of objects cannot be
    found = {
        "env.backend": envs.backend if asked else AUTO,
        "network.encoder": encoder_kind(config.network, envs.layout),
        "ppo.value_clip": config.ppo.value_clip_kind,
        "system.device": str(device),
        "system.compile": "always" if graphs else "never",
    }
    return {n: value for n, value in found.items() if attrgetter(n)(config) == AUTO != value}
