"""Settings that are each valid and do not fit together."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticCustomError

SEARCHED = 10_000  # candidates tried on either side, so that huge numbers cost no time


def check_together(config: Any) -> None:
    """Raises what pydantic reports as a mistake of type `does_not_fit`."""
    _check_minibatches(config.env.num_envs, config.ppo.num_steps, config.ppo.num_minibatches)
    if config.network.memory != "none":
        _check_sequences(config.env.num_envs, config.ppo.num_minibatches)
    if config.ppo.gamma_schedule != "constant" and config.ppo.gamma > config.ppo.max_gamma:
        raise PydanticCustomError(
            "does_not_fit",
            "{text}",
            {
                "keys": "ppo.max_gamma ppo.gamma ppo.gamma_schedule",
                "text": f"ppo.max_gamma {config.ppo.max_gamma} is below ppo.gamma "
                f"{config.ppo.gamma}, from which the schedule starts",
            },
        )


def _check_minibatches(num_envs: int, num_steps: int, num_minibatches: int) -> None:
    samples = num_envs * num_steps
    if samples % num_minibatches == 0:
        return
    near = _nearest_divisors(samples, num_minibatches)
    arithmetic = f"env.num_envs {num_envs:,} x ppo.num_steps {num_steps:,} = {samples:,} samples"
    raise PydanticCustomError(
        "does_not_fit",
        "{text}",
        {
            "keys": "ppo.num_minibatches ppo.num_steps env.num_envs",
            "text": f"{arithmetic} cannot be cut into ppo.num_minibatches {num_minibatches:,} equal"
            f" parts; nearest that fit: {' and '.join(f'{value:,}' for value in near)}",
        },
    )


def _check_sequences(num_envs: int, num_minibatches: int) -> None:
    """With memory a minibatch is the whole sequences of some environments."""
    if num_envs % num_minibatches == 0:
        return
    near = [n for n in _nearest_divisors(num_envs, num_minibatches) if n <= num_envs]
    raise PydanticCustomError(
        "does_not_fit",
        "{text}",
        {
            "keys": "ppo.num_minibatches env.num_envs network.memory",
            "text": f"with network.memory a minibatch is whole environments, and env.num_envs "
            f"{num_envs:,} cannot be cut into ppo.num_minibatches {num_minibatches:,} equal parts; "
            f"nearest that fit: {' and '.join(f'{value:,}' for value in near)}",
        },
    )


def _nearest_divisors(number: int, wanted: int) -> list[int]:
    """The closest divisors of `number` below and above `wanted`, and 1 where none is near."""
    if wanted > number:
        return [number]
    below = next((n for n in range(wanted, max(wanted - SEARCHED, 1), -1) if number % n == 0), 1)
    above = next((n for n in range(wanted, wanted + SEARCHED) if number % n == 0), None)
    return [below] if above is None else [below, above]
