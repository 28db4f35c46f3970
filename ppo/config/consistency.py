"""Settings that are each valid and do not fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from ppo.core.imports import is_path

SEARCHED = 10_000  # candidates tried on either side, so that huge numbers cost no time
# What the kinds of `ppo/values/` need of each other; tests/config/test_consistency.py holds it.
BINNED_LOSSES = ("hl_gauss", "two_hot")  # their bins cover a known range of targets
LOGARITHMIC = ("symlog",)  # normalizers whose unit is not a length of reward
CLIPS_IN_LENGTHS = ("relative", "sigma")
OWN = (  # section and key of what may be a part of the user's
    ("network", "encoder"),
    ("network", "memory"),
    ("ppo", "value_loss"),
    ("ppo", "return_normalizer"),
    ("ppo", "value_clip"),
    ("balancing", "kind"),
)


class Mismatch(NamedTuple):
    """One mistake of several settings."""

    keys: list[str]  # settings whose change mends it, the likeliest first
    text: str


def mismatches(config: Any) -> list[Mismatch]:
    """Everything in a configuration that does not fit together.

    What is open will be chosen so that it fits.
    """
    found = (mismatch for check in CHECKS for mismatch in check(config))
    return [mismatch for mismatch in found if not config.open.intersection(mismatch.keys)]


def _minibatches(config: Any) -> Iterator[Mismatch]:
    env, ppo = config.env, config.ppo
    samples = env.num_envs * ppo.num_steps
    arithmetic = f"env.num_envs {_words(env.num_envs)} x ppo.num_steps {_words(ppo.num_steps)}"
    arithmetic += f" = {_words(samples)} sample{'s' if samples > 1 else ''}"
    keys = ["ppo.num_minibatches", "ppo.num_steps", "env.num_envs"]
    if samples % ppo.num_minibatches:
        yield Mismatch(
            keys,
            f"{arithmetic} cannot be cut into {_parts(samples, ppo.num_minibatches)}",
        )
        return
    parts = {"minibatch": ppo.num_minibatches, "none": 0}.get(ppo.normalize_advantages, 1)
    if samples == parts:
        cut = f" in ppo.num_minibatches {_words(parts)} parts" if parts > 1 else ""
        yield Mismatch(
            [*keys, "ppo.normalize_advantages"],
            f"{arithmetic}{cut}: the standard deviation of 1 sample is 0, so its normalized"
            " advantage is always 0 and the policy would never be trained; write"
            f" {'a smaller ppo.num_minibatches' if parts > 1 else 'a larger ppo.num_steps'}"
            f" or ppo.normalize_advantages {'batch' if parts > 1 else 'none'}",
        )


def _sequences(config: Any) -> Iterator[Mismatch]:
    """With memory a minibatch is the whole sequences of some environments."""
    num_envs, num_minibatches = config.env.num_envs, config.ppo.num_minibatches
    if config.network.memory == "none" or num_envs % num_minibatches == 0:
        return
    yield Mismatch(
        ["ppo.num_minibatches", "env.num_envs", "network.memory"],
        "with network.memory a minibatch is whole environments, and env.num_envs"
        f" {_words(num_envs)} cannot be cut into {_parts(num_envs, num_minibatches)}",
    )


def _discounts(config: Any) -> Iterator[Mismatch]:
    ppo = config.ppo
    if ppo.gamma_schedule != "constant" and ppo.gamma > ppo.max_gamma:
        yield Mismatch(
            ["ppo.max_gamma", "ppo.gamma", "ppo.gamma_schedule"],
            f"ppo.max_gamma {ppo.max_gamma} is below ppo.gamma {ppo.gamma}, from which the schedule"
            " starts",
        )
    bounds = ["ppo.max_gamma", *(["ppo.max_gamma_contest"] if ppo.noise == "contest" else [])]
    for name in bounds if ppo.gamma_schedule == "critic" else []:
        if getattr(ppo, name.removeprefix("ppo.")) == 1.0:
            yield Mismatch(
                [name, "ppo.gamma_schedule"],
                "ppo.gamma_schedule critic moves the horizon 1 / (1 - gamma), which has no number "
                f"at {name} 1; write 0.9999 or less",
            )


def _kl_rate(config: Any) -> Iterator[Mismatch]:
    ppo = config.ppo
    if ppo.learning_rate_schedule == "kl" and ppo.target_kl is None:
        yield Mismatch(
            ["ppo.target_kl", "ppo.learning_rate_schedule"],
            "ppo.learning_rate_schedule kl follows ppo.target_kl, which is null; write a number "
            "such as 0.01",
        )
    elif ppo.learning_rate_schedule == "kl" and ppo.num_epochs == ppo.num_minibatches == 1:
        yield Mismatch(
            ["ppo.num_epochs", "ppo.num_minibatches", "ppo.learning_rate_schedule"],
            "ppo.learning_rate_schedule kl follows the divergence before each gradient step, which "
            "is 0 before the only one of a batch; write ppo.num_epochs 2 or more",
        )


def _bins(config: Any) -> Iterator[Mismatch]:
    ppo = config.ppo
    if ppo.value_loss in BINNED_LOSSES and not ppo.normalize_returns:
        yield Mismatch(
            ["ppo.value_loss", "ppo.normalize_returns"],
            f"ppo.value_loss {ppo.value_loss} needs bounded targets; write ppo.normalize_returns"
            " true, or ppo.value_loss squared or huber",
        )


def _logarithms(config: Any) -> Iterator[Mismatch]:
    ppo = config.ppo
    logarithmic = ppo.normalize_returns and ppo.return_normalizer in LOGARITHMIC
    if logarithmic and ppo.value_clip_kind in CLIPS_IN_LENGTHS:
        yield Mismatch(
            ["ppo.value_clip", "ppo.use_relative_value_clip", "ppo.return_normalizer"],
            f"ppo.value_clip {ppo.value_clip_kind} has no meaning in the logarithmic units of"
            f" ppo.return_normalizer {ppo.return_normalizer}; write ppo.value_clip none or"
            " absolute",
        )


def _stacked_frames(config: Any) -> Iterator[Mismatch]:
    if config.env.backend == "torch" and config.env.frame_stack > 1:
        yield Mismatch(
            ["env.frame_stack", "env.backend"],
            "torch environments cannot stack observations; write env.frame_stack 1, or"
            " env.backend sync",
        )


def _wrapped(config: Any) -> Iterator[Mismatch]:
    if config.env.wrappers and config.env.backend in ("vector", "torch"):
        yield Mismatch(
            ["env.wrappers", "env.backend"],
            f"env.wrappers are around single environments, and env.backend {config.env.backend}"
            " steps all at once; write env.backend auto, sync or async",
        )


def _groups(config: Any) -> Iterator[Mismatch]:
    network = config.network
    actor, critic = (
        None if keys is None else set(keys) for keys in (network.actor_keys, network.critic_keys)
    )
    if network.shared_encoder and actor != critic:
        yield Mismatch(
            ["network.shared_encoder", "network.actor_keys", "network.critic_keys"],
            "an actor and a critic that see different keys cannot share an encoder"
            f" (network.actor_keys {_keys(network.actor_keys)}, network.critic_keys"
            f" {_keys(network.critic_keys)}); write network.shared_encoder false",
        )
    if network.shared_encoder and network.critic_hidden_sizes not in (None, network.hidden_sizes):
        yield Mismatch(
            ["network.shared_encoder", "network.critic_hidden_sizes", "network.hidden_sizes"],
            "a critic with layers of its own (network.critic_hidden_sizes"
            f" {network.critic_hidden_sizes}) shares no encoder; write network.shared_encoder"
            " false",
        )


def _words(number: int) -> str:
    """With commas; of one that no line has room for, its size."""
    return f"{number:,}" if number < 10**24 else f"{Decimal(number):.1e}"


def _keys(keys: list[str] | None) -> str:
    return "null" if keys is None else f"[{', '.join(keys)}]"


def _options_of_own_parts(config: Any) -> Iterator[Mismatch]:
    """Options are those of a part of the user's; what is shipped has settings of its own."""
    for section, key in OWN:
        chosen = getattr(getattr(config, section), key)
        options = getattr(getattr(config, section), f"{key}_kwargs")
        if options and not is_path(chosen):
            yield Mismatch(
                [f"{section}.{key}_kwargs", f"{section}.{key}"],
                f"{section}.{key}_kwargs are options of a part of your own, and {section}.{key}"
                f" {chosen} is none; write {section}.{key} package.module:Class, or leave them out",
            )


def _found_by_class(config: Any) -> Iterator[Mismatch]:
    """Lists of classes, whose options are found by the name of the class."""
    for section, key in (("env", "wrappers"), ("auxiliary", "losses"), ("train", "callbacks")):
        place, settings = f"{section}.{key}", getattr(config, section)
        names = [path.partition(":")[2] for path in getattr(settings, key)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Mismatch([place], f"{place}: two of them are called {name}; rename one")
        for name in getattr(settings, f"{key}_kwargs"):
            if name in names:
                continue
            yield Mismatch(
                [f"{place}_kwargs", place],
                f"{place}_kwargs: {name} is none of {place} (there: {', '.join(names) or 'none'})",
            )


CHECKS: tuple[Callable[[Any], Iterator[Mismatch]], ...] = (
    _minibatches,
    _sequences,
    _discounts,
    _kl_rate,
    _bins,
    _logarithms,
    _stacked_frames,
    _wrapped,
    _groups,
    _options_of_own_parts,
    _found_by_class,
)


def _parts(number: int, wanted: int) -> str:
    """The parts that cannot be, and the closest divisors below and above, 1 where none is near."""
    below = next((n for n in range(wanted, max(wanted - SEARCHED, 1), -1) if number % n == 0), 1)
    above = next((n for n in range(wanted, wanted + SEARCHED) if number % n == 0), None)
    near = [number] if wanted > number else [below] if above is None else [below, above]
    return (
        f"ppo.num_minibatches {_words(wanted)} equal parts; nearest that fit: "
        f"{' and '.join(map(_words, near))}"
    )
