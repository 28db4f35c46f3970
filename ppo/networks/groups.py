"""What actor and critic see of an observation: all of it, or some keys of a Dict."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from torch import Tensor

from ppo.core.errors import UserError
from ppo.core.layout import Layout, Span
from ppo.networks import packing


class Group(NamedTuple):
    """Some of the entries that a layout describes."""

    layout: Layout  # of what it holds
    spans: tuple[Span, ...] | None = None  # among the entries; None: all

    def __call__(self, entries: Tensor) -> Tensor:
        """The group's [B, D] of all entries, with or without the pixels of bytes at the end."""
        if self.spans is None:
            return entries
        size = entries.shape[-1]
        return packing.select(entries, tuple(span for span in self.spans if span[0] < size))


class Groups(NamedTuple):
    """What is read of a row, and what of it the actor and the critic see.

    Statistics of observations are kept for each entry, so that the part of the normalized entries
    is what a normalizer of the group alone would give, to the bit.
    """

    read: Group  # of the whole row
    actor: Group  # of what is read
    critic: Group


def groups_of(
    layout: Layout, actor_keys: Collection[str] | None, critic_keys: Collection[str] | None
) -> Groups:
    """The groups of the settings `network.actor_keys` and `network.critic_keys`.

    Raises:
        UserError: the observations have no such keys, or are no Dict.
    """
    _check(layout, "actor_keys", actor_keys)
    _check(layout, "critic_keys", critic_keys)
    both = None
    if actor_keys is not None and critic_keys is not None:
        both = {*actor_keys, *critic_keys}
    read = _group(layout, both)
    return Groups(read, _group(read.layout, actor_keys), _group(read.layout, critic_keys))


def _group(layout: Layout, keys: Collection[str] | None) -> Group:
    if keys is None or len(set(keys)) == len(layout.keys):
        return Group(layout)
    spans, part = layout.part(keys)
    return Group(part, spans)


def _check(layout: Layout, name: str, keys: Collection[str] | None) -> None:
    if keys is None:
        return
    known = [key for key, _ in layout.keys]
    if not known:
        raise UserError(
            f"network.{name}: {list(keys)}: the observations are no Dict; allowed here: null"
        )
    for key in keys:
        if key not in known:
            raise UserError(
                f"network.{name}: {key!r} is no key of the observations; allowed: "
                f"{', '.join(known)}"
            )
