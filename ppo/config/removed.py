"""Options of earlier versions: refused where a user writes them, dropped from old run folders.

An old run whose options all had their neutral value is the same run without them. One where an
option did something can still be evaluated, with a note, and cannot be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Removed:
    """An option, or one of its values, that this version no longer has."""

    neutral: Any  # its old default, or the value that stands in for a removed one
    why: str
    instead: str = "leave it out"  # what to write


_NOISE = "write ppo.noise: white, pink or contest"
OPTIONS: dict[str, Removed] = {
    "ppo.recompute_advantages": Removed(False, "it made no difference beyond the spread of seeds"),
    "ppo.value_epochs": Removed(
        0, "it cost time and brought nothing measurable", "write a larger ppo.num_epochs"
    ),
    "ppo.critic_weight_decay": Removed(0.0, "it did not help over several seeds"),
    "ppo.adam_epsilon": Removed(
        1e-05, "gradients have no units here, so the fixed 1e-5 suits every task"
    ),
    "ppo.critic_gae_lambda": Removed(
        None, "a separate lambda for the critic brought nothing", "write ppo.gae_lambda"
    ),
    "ppo.advantage_floor": Removed(0.0, "it helped one seed and not three"),
    "ppo.feature_regularization": Removed(0.0, "it cost a fifth of the speed and brought nothing"),
    "network.state_dependent_std": Removed(
        False, "it stopped HalfCheetah and Hopper early", "write network.initial_log_std"
    ),
    "network.image_channels": Removed(
        1, "no configuration used it", "write network.image_features"
    ),
    "ppo.reward_outlier_limit": Removed(
        1000.0, "nobody set it; the limit is 1000 robust standard deviations"
    ),
    "ppo.value_bins": Removed(101, "nobody set it; critics of bins have 101"),
    "ppo.huber_delta": Removed(1.0, "nobody set it; it is 1 standard deviation of the target"),
    "balancing.bound": Removed(100.0, "nobody set it; the largest ratio of weights is 100"),
    "imitation.min_policy_std": Removed(
        0.1, "nobody set it; the smallest standard deviation afterwards is 0.1"
    ),
    "ppo.episode_horizon": Removed(
        1.0, "horizons longer than an episode brought nothing", "write ppo.max_gamma"
    ),
    "ppo.horizon_explained_variance": Removed(0.9, "other limits than 0.9 brought nothing"),
    "ppo.noise_color": Removed(0.0, "one word names what brought something", _NOISE),
    "ppo.noise_color_share": Removed(1.0, "other shares than all brought nothing", _NOISE),
    "ppo.noise_color_schedule": Removed("constant", "a linear one brought nothing", _NOISE),
    "ppo.noise_color_when": Removed("always", "a contest always waits for survivors", _NOISE),
}
VALUES: dict[tuple[str, str], Removed] = {
    ("ppo.normalize_advantages", "percentile"): Removed(
        "minibatch", "a range of returns did no better", "write minibatch or batch"
    ),
    ("ppo.gamma_schedule", "episode_length"): Removed(
        "constant", "what follows the critic serves more tasks", "write critic"
    ),
}


# Settings whose default is not what earlier versions did, and what they did.
FORMERLY: dict[str, Any] = {"network.images": "uint8", "env.double_precision": []}


# What the four options of an old run must hold to mean a word of `ppo.noise`; None: anything.
_NOISE_OPTIONS = ("noise_color", "noise_color_share", "noise_color_schedule", "noise_color_when")
_NOISES: dict[str, tuple[Any, ...]] = {
    "white": (0.0, None, None, None),
    "pink": (1.0, 1.0, "constant", "always"),
    "contest": (1.0, None, "contest", "survived"),
}


def refusal(name: str, value: Any = None) -> str | None:
    """Why a setting that a user wrote is refused, and what to write; None where it is not old."""
    if name in OPTIONS:
        found = OPTIONS[name]
        return f"this option was removed: {found.why}; {found.instead}"
    if isinstance(value, str) and (name, value) in VALUES:
        found = VALUES[name, value]
        return f"{value} was removed: {found.why}; {found.instead}"
    return None


def drop(values: dict[str, Any]) -> list[str]:
    """Takes what was removed out of the settings of an old run, in place.

    Returns:
        A line for each setting that was not neutral: this version does not do the same.
    """
    notes: list[str] = []
    _translate_noise(values.get("ppo"))
    for section, part in values.items():
        for key in list(part) if isinstance(part, dict) else []:
            name, value = f"{section}.{key}", part[key]
            reason = refusal(name, value)
            if reason is None:
                continue
            if name in OPTIONS:
                del part[key]
                same = value == OPTIONS[name].neutral
            else:
                part[key], same = VALUES[name, value].neutral, False
            if not same:
                notes.append(f"{name}: {value}: {reason}")
    return notes


def complete(values: dict[str, Any]) -> None:
    """Adds to the settings of an old run what it was trained with, in place.

    The settings of a run folder are complete, so that what is missing came later.
    """
    for name, value in FORMERLY.items():
        section, _, key = name.partition(".")
        if isinstance(values.get(section), dict):
            values[section].setdefault(key, value)


def _translate_noise(ppo: Any) -> None:
    """Four options of an old run become the word of `ppo.noise` that means the same, if one does.

    What was left out had its neutral value.
    """
    if not isinstance(ppo, dict) or not any(name in ppo for name in _NOISE_OPTIONS):
        return
    old = [ppo.get(name, OPTIONS[f"ppo.{name}"].neutral) for name in _NOISE_OPTIONS]
    if old[1] == 0.0:  # a share of none
        old[0] = 0.0
    for word, meaning in _NOISES.items():
        if all(wanted in (None, found) for wanted, found in zip(meaning, old, strict=True)):
            for name in _NOISE_OPTIONS:
                ppo.pop(name, None)
            ppo["noise"] = word
            return
