"""Laws of a whole training: rewards times a power of two, and a state that is loaded again."""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

import torch

from ppo.algorithm import build
from ppo.algorithm.learner import Learner
from ppo.config import Config
from ppo.config.file import text_of
from ppo.core.registry import Part

CPU = torch.device("cpu")
POWER = 20
SMALL = [
    "env.id=DoubleIntegrator-v0", "env.num_envs=6", "env.calibration_steps=8", "ppo.num_steps=12",
    "ppo.num_epochs=2", "ppo.num_minibatches=3", "network.hidden_sizes=[8]",
    "network.memory_size=4", "system.compile=never", "system.device=cpu",
]  # fmt: skip


def settings_of(part: Part, key: str) -> list[str]:
    """The settings of a short run with this part."""
    section, name = key.split(".")
    path, kind = part.place, part.kind
    if path == kind.__name__:  # given as a class
        path = f"{kind.__module__}:{path}"
        module = importlib.import_module(kind.__module__)
        if getattr(module, kind.__qualname__, None) is not kind:
            raise part.error("define it at the top of a module: a run finds it by its import path")
    if name == "losses":
        options = {"losses": [path], "losses_kwargs": {kind.__name__: part.kwargs}}
    else:
        options = {name: path} | ({f"{name}_kwargs": part.kwargs} if part.kwargs else {})
    return [f"{section}.{word}={text_of(value)}" for word, value in options.items()]


def learner(*settings: str) -> Learner:
    """A learner at the start of its first batch."""
    config = Config.from_dict({}, [*SMALL, *settings])
    made = build.build_learner(config, build.build_environments(config, CPU), CPU)
    made.start()
    return made


def digest(made: Any) -> str:
    """A hash over the bits of parameters and moments, the critic's in network units included."""
    state = {"theta": made.optimizer.flat.theta, **made.optimizer.state_dict()}
    sha = hashlib.sha256()
    for name in sorted(state):
        sha.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def check(part: Part, key: str, exact: bool, *more: str) -> None:
    """The laws of a run with this part.

    Args:
        key: the setting that names it.
        exact: whether rewards of another size are to change no bit.
        more: settings.
    """
    settings = [*settings_of(part, key), *more]
    goes_on_exactly(part, *settings)
    if exact:
        sees_no_reward_scale(part, *settings)


def sees_no_reward_scale(part: Part, *settings: str) -> None:
    """Rewards times 2^20 change no bit of what is learned."""
    digests = []
    for scale in (1.0, 2.0**POWER, 2.0**-POWER):
        made = learner(*settings, f"env.reward_scale={scale!r}")
        for _ in range(2):
            made.step()
        digests.append(digest(made))
    if len(set(digests)) > 1:
        raise part.error(
            f"a run with rewards times 2^{POWER} or 2^-{POWER} learns something else: it has a "
            "fixed number in reward units, such as 1e-8 added to a standard deviation; set exact = "
            "False on the class if that is meant"
        )


def goes_on_exactly(part: Part, *settings: str) -> None:
    """Loaded from a checkpoint after two batches, the third is that of the run that went on."""
    whole = learner(*settings)
    for _ in range(2):
        whole.step()
    state = {name: value.clone() for name, value in whole.state_dict().items()}
    counters = dict(whole.counters)
    whole.step()
    resumed = learner(*settings)
    resumed.load_state_dict(state)
    resumed.counters.update(counters)
    resumed.step()
    if digest(whole) != digest(resumed):
        raise part.error(
            "a run that is stopped and resumed learns something else: it keeps something outside "
            "its parameters and buffers, or draws random numbers"
        )
