"""What differs between the spaces that a policy was trained with and those of an environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym

from ppo.core.errors import UserError
from ppo.envs.observations import without_text
from ppo.envs.spaces import describe, restore

BOUNDS = ("low", "high")
MOST_SHOWN = 4  # numbers of a list


class Difference(NamedTuple):
    """One property in words, such as `high 1 -> 5`; whether it is a bound of a Box."""

    text: str
    is_bound: bool = False


def refuse_changes(
    trained: tuple[Any, Any], envs: Any, where: str, num_mask: int | None = None
) -> list[str]:
    """A note for each difference that a policy can live with: bounds of what it observes.

    Actions are scaled to their bounds, so that with others they would do something else.

    Args:
        trained: observation and action space, each as a space or as `describe` wrote it.
        envs: what it is to act in; has `observation_space`, `action_space` and `layout`.
        where: whose policy it is, such as `run0007`.
        num_mask: entries of the mask of valid actions then; None: not known.

    Raises:
        UserError: any other difference.
    """
    notes = []
    for name, then in zip(("observation", "action"), trained, strict=True):
        found = differences(then, getattr(envs, f"{name}_space"))
        if not found:
            continue
        text = (
            f"env.id: its {name} space differs from that of {where} "
            f"({', '.join(difference.text for difference in found)})"
        )
        if name == "action" or not all(difference.is_bound for difference in found):
            raise UserError(f"{text}; the policy fits the environment that it was trained in")
        notes.append(text)
    if num_mask is not None and num_mask != envs.layout.num_mask:
        had = "had action masks, and has none now" if num_mask else "had no action masks, and has"
        raise UserError(f"env.action_masks: the environment of {where} {had}")
    return notes


def refuse_unlike(
    env_id: str,
    first: Sequence[Any],
    other: Sequence[gym.Space],
    numbers: tuple[int, int],
) -> None:
    """
    Args:
        first: observation and action space, each as a space or as `describe` wrote it.
        other: these of another environment. numbers: of the two environments.

    Raises:
        UserError: a policy cannot act in both; bounds of what it observes may differ.
    """
    for name, one, another in zip(("observation", "action"), first, other, strict=True):
        found = [] if one == another else differences(one, another)
        if any(name == "action" or not difference.is_bound for difference in found):
            raise UserError(
                f"env.id: {env_id}: the {name} space of environment {numbers[1]} differs from that "
                f"of environment {numbers[0]} ({', '.join(item.text for item in found)}); make "
                "all of them with the same spaces"
            )


def refuse_moved(env_id: str, made_with: Sequence[gym.Space], env: gym.Env) -> None:
    """
    Args:
        made_with: observation and action space before the first reset.

    Raises:
        UserError: the reset has changed one, for which networks may be made already; bounds of what
            is observed may change.
    """
    for name, then in zip(("observation", "action"), made_with, strict=True):
        now = getattr(env, f"{name}_space")
        found = [] if then == now else differences(without_text(then), without_text(now))
        if any(name == "action" or not difference.is_bound for difference in found):
            raise UserError(
                f"env.id: {env_id}: reset has changed its {name} space "
                f"({', '.join(item.text for item in found)}); let __init__ set the one that holds"
            )


def differences(then: Any, now: gym.Space) -> list[Difference]:
    """What differs between two spaces; nothing where they are the same.

    Args:
        then: a space, or a description of one, perhaps of an earlier version.
    """
    space = then if isinstance(then, gym.Space) else restore(then)
    return list(_walk("", describe(space), describe(now)))


def _walk(path: str, then: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    if then["kind"] != now["kind"]:
        yield Difference(f"{path}{then['kind']} -> {now['kind']}")
        return
    if then["kind"] in ("Dict", "Tuple"):
        yield from _entries(path, _parts(then), _parts(now))
        return
    changed = [key for key in then if then[key] != now[key]]
    bounds_only = set(changed) <= set(BOUNDS)
    for key in changed:
        if key in BOUNDS and not bounds_only:
            continue  # follow from another shape or dtype
        yield Difference(f"{path}{key} {_shown(key, then[key], now[key])}", bounds_only)


def _entries(path: str, then: dict[Any, Any], now: dict[Any, Any]) -> Iterator[Difference]:
    for key in then.keys() - now.keys():
        yield Difference(f"{path}{key} is missing")
    for key in now.keys() - then.keys():
        yield Difference(f"{path}{key} is new")
    for key in then:
        if key in now:
            yield from _walk(f"{path}{key}: ", then[key], now[key])


def _parts(described: dict[str, Any]) -> dict[Any, Any]:
    """The spaces in a Dict or a Tuple by key."""
    if "pairs" in described:
        return dict(described["pairs"])
    parts = described["spaces"]
    return parts if isinstance(parts, dict) else dict(enumerate(parts))


def _shown(key: str, then: Any, now: Any) -> str:
    """`1 -> 5`; of two long lists the first entry that differs."""
    if key in BOUNDS:
        then, now = (side[0] if len(side) == 1 else side for side in (then, now))
    lists = [side for side in (then, now) if isinstance(side, list)]
    if max(map(len, lists), default=0) > MOST_SHOWN:
        size = max(map(len, lists))
        then, now = (side if isinstance(side, list) else [side] * size for side in (then, now))
        if len(then) == len(now):
            place = next(i for i in range(size) if then[i] != now[i])
            return f"[{place}] {_short(then[place])} -> {_short(now[place])}"
    return f"{_short(then)} -> {_short(now)}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)[:60]
