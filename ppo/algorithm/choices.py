"""The rules for settings that are `auto`: from facts to values, each with its reason.

Pure functions. Why each rule is as it is, with measurements: docs/automatic.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ppo.config import Config
from ppo.envs.entries import MIN_IMAGE_SIDE
from ppo.envs.look import Facts

MANY, FEW = 256, 8  # environments where many cost little more than one, and elsewhere
WIDE = 64  # of an environment that is not known to be like that: from so many on, it is
SAMPLES = {"wide": 16_384, "narrow": 2048, "images": 1024}  # of a batch
PARTS = {"wide": 32, "narrow": 32, "images": 4}  # minibatches
FOLLOWED_KL = 0.01  # of a learning rate that follows it, where no batch ends by it (rsl_rl)
LEAST_LOG_STD = -1.0  # of the policy at the start
LAYERS, WIDE_LAYERS = [64, 64], [256, 256]
MANY_NUMBERS = 3  # of an action: from so many on, wide layers pay
EPOCHS = {"wide": 5, "narrow": 10, "images": 4}
WHOLE_EPISODES = 20  # between checkpoints that cut them
EVALUATED = 2000  # steps of an episode that an evaluation waits for at least
UNSEEN, UNENDED = 1000, 5  # steps of an episode nobody has seen; looks, of one that outlasts one
IMAGES_ENTROPY = 0.01  # of choices: without a bonus a policy of images is sure too early
CLIP, IMAGES_CLIP = 0.2, 0.1
LONG = 50  # batches: in so many a rate that stays high undoes what it has learned


class Choice(NamedTuple):
    """A value for a setting; `reason` continues its line at the start of a run."""

    name: str
    value: Any
    reason: str = ""


def choose(config: Config, facts: Facts, ranks: int = 1) -> list[Choice]:
    """A value for each open setting, in the order of the tree.

    Args:
        ranks: processes that share the environments.
    """
    num_envs, why_envs = _num_envs(config, facts, ranks)
    kind = _kind(config, facts, num_envs)
    num_steps, why_steps = _num_steps(config, facts, num_envs, kind)
    batches = config.train.total_timesteps // (num_envs * num_steps)
    found: dict[str, Any] = {
        "env.num_envs": num_envs,
        "ppo.num_steps": num_steps,
        "ppo.num_epochs": EPOCHS[kind],
        "ppo.num_minibatches": _num_minibatches(num_envs, num_steps, ranks, kind, config),
        **RECIPES[kind],
    }
    if kind == "narrow":
        found |= _of_actions(facts.action_entries, num_envs // ranks)
    if facts.action_entries:
        found["ppo.entropy_coefficient"] = 0.0
    if batches >= LONG:
        found["ppo.learning_rate_schedule"] = "linear"
    found |= _beside(config, kind)
    found |= {
        "train.checkpoint_interval": _batches_between(facts, batches, num_steps),
        "evaluation.interval": max(10, batches // 4),
        "evaluation.max_steps": _longest_evaluated(config),
    }
    missing = config.open - found.keys()
    assert not missing, f"no rule for {sorted(missing)}"
    reasons = {"env.num_envs": why_envs, "ppo.num_steps": why_steps}
    return [
        Choice(name, value, reasons.get(name, ""))
        for name, value in found.items()
        if name in config.open
    ]


def _kind(config: Config, facts: Facts, num_envs: int) -> str:
    """What a batch is like: wide, narrow, or of images that an encoder sees as such."""
    encoder = config.network.encoder
    least = MIN_IMAGE_SIDE if encoder == "auto" else 1
    if encoder != "mlp" and facts.image_side >= least:
        return "images"
    return "wide" if facts.parallel or num_envs >= WIDE else "narrow"


# What goes with a wide batch of few large gradient steps, with a narrow one of many, and with a
# convolutional network, whose gradient steps are dear: the settings of PPO on Atari, see
# docs/automatic.md.
_WIDE: dict[str, Any] = {
    "env.observation_scale": "deviation",
    "network.shared_encoder": True,
    "network.hidden_sizes": LAYERS,
    "network.layer_norm": False,
    "network.initial_log_std": 0.0,
    "ppo.clip_epsilon": CLIP,
    "ppo.learning_rate": 1e-3,
    "ppo.learning_rate_schedule": "constant",
    "ppo.entropy_coefficient": 0.0,
    "ppo.gamma_schedule": "constant",
    "ppo.noise": "white",
    "ppo.target_kl": None,
    "ppo.max_gamma": 0.999,
}
RECIPES: Mapping[str, dict[str, Any]] = {
    "wide": _WIDE,
    "images": {
        **_WIDE,
        "ppo.clip_epsilon": IMAGES_CLIP,
        "ppo.learning_rate": 2.5e-4,
        "ppo.learning_rate_schedule": "linear",
        "ppo.entropy_coefficient": IMAGES_ENTROPY,
    },
    "narrow": {
        "env.observation_scale": "tails",
        "network.shared_encoder": False,
        "network.hidden_sizes": LAYERS,
        "network.layer_norm": True,
        "network.initial_log_std": LEAST_LOG_STD,
        "ppo.clip_epsilon": CLIP,
        "ppo.learning_rate": 3e-4,
        "ppo.learning_rate_schedule": "linear",
        "ppo.entropy_coefficient": 0.0,
        "ppo.gamma_schedule": "critic",
        "ppo.noise": "contest",
        "ppo.target_kl": 0.03,
        "ppo.max_gamma": 0.995,
    },
}


def _of_actions(entries: int | None, num_envs: int) -> dict[str, Any]:
    """What actions of numbers ask of a narrow batch: noise, and layers that can shape them.

    Args:
        entries: numbers of an action; 0 or None: actions are choices.
        num_envs: environments of a process.
    """
    found: dict[str, Any] = {}
    if not entries or num_envs < 2:
        found["ppo.noise"] = "white"
    if entries:  # the noise of all actuators together is as long as that of one
        log_std = round(max(LEAST_LOG_STD, 0.0 - 0.5 * math.log(entries)), 2)
        found["network.initial_log_std"] = log_std
        found["network.hidden_sizes"] = WIDE_LAYERS if entries >= MANY_NUMBERS else LAYERS
    return found


def _beside(config: Config, kind: str) -> dict[str, Any]:
    """What fits settings of the user's that exclude the usual choice."""
    found: dict[str, Any] = {}
    network, gamma = config.network, config.ppo.gamma
    apart = network.critic_hidden_sizes not in (None, network.hidden_sizes)
    if apart or network.actor_keys != network.critic_keys:
        found["network.shared_encoder"] = False
    if "network.shared_encoder" not in config.open and network.shared_encoder:
        sizes = network.critic_hidden_sizes  # one encoder has one width
        found |= {} if sizes is None else {"network.hidden_sizes": sizes}
    if gamma >= RECIPES["narrow"]["ppo.max_gamma"]:  # a horizon that somebody wants
        found |= {"ppo.gamma_schedule": "constant", "ppo.max_gamma": max(gamma, 0.999)}
    if config.ppo.learning_rate_schedule == "kl" and RECIPES[kind]["ppo.target_kl"] is None:
        found["ppo.target_kl"] = FOLLOWED_KL
    return found


def _num_envs(config: Config, facts: Facts, ranks: int) -> tuple[int, str]:
    if "env.num_envs" not in config.open:
        return config.env.num_envs, ""
    if facts.parallel:
        return -(-MANY // ranks) * ranks, "all are stepped as one"
    return -(-FEW // ranks) * ranks, ""


def _num_steps(config: Config, facts: Facts, num_envs: int, kind: str) -> tuple[int, str]:
    if "ppo.num_steps" not in config.open:
        return config.ppo.num_steps, ""
    lengths = set(facts.lengths)
    fair = max(1, SAMPLES[kind] // num_envs)
    if len(lengths) == 1 and (length := max(lengths)) <= fair:
        return fair // length * length, f"whole episodes, each of {length} steps"
    return fair, _words(facts)


def _batches_between(facts: Facts, batches: int, num_steps: int) -> int:
    """Batches from a checkpoint to the next.

    Args:
        batches: of the run.
        num_steps: of an environment in a batch.
    """
    usual, most = max(10, batches // 40), max(10, batches // 2)
    if not facts.begins_anew:
        return usual
    length = facts.mean_length or max(UNSEEN, UNENDED * facts.steps)
    return min(most, max(usual, math.ceil(WHOLE_EPISODES * length / num_steps)))


def _longest_evaluated(config: Config) -> int:
    """Steps of an episode of the run's evaluations: twenty take a fifth of the run at most."""
    usual = type(config.evaluation).model_fields["max_steps"].default
    return min(usual, max(EVALUATED, config.train.total_timesteps // 100))


def _words(facts: Facts) -> str:
    """What the look found of the episodes."""
    if not facts.steps:
        return "episodes are not known beforehand"
    if facts.mean_length is None:
        return f"no episode ends within {facts.steps:,} steps"
    return f"episodes have {facts.mean_length:,.0f} steps on average"


def _num_minibatches(num_envs: int, num_steps: int, ranks: int, kind: str, config: Config) -> int:
    """The most equal parts up to the usual number."""
    share = num_envs // ranks
    whole = share if config.network.memory != "none" else share * num_steps
    most = min(PARTS[kind], whole if config.network.memory != "none" else max(1, whole // 2))
    return next(parts for parts in range(most, 0, -1) if whole % parts == 0)
