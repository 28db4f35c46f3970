"""What actor and critic see: their groups of entries, an encoder for each, one normalizer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ppo.algorithm import probes
from ppo.config import Config, NetworkConfig
from ppo.core.layout import Layout
from ppo.core.registry import Part
from ppo.envs.entries import MIN_IMAGE_SIDE
from ppo.networks import encoders, packing
from ppo.networks.agent import Eye
from ppo.networks.encoders.base import Encoder, Read
from ppo.networks.groups import Group, groups_of
from ppo.networks.normalizer import ObservationNormalizer


def build_eyes(
    config: Config, layout: Layout, source: torch.Generator
) -> tuple[tuple[Eye, Eye], ObservationNormalizer]:
    """The actor's and the critic's, and the normalizer of all that either sees.

    Raises:
        UserError: keys that are not there, or an encoder that does not fit.
    """
    env, network = config.env, config.network
    groups = groups_of(layout, network.actor_keys, network.critic_keys)
    seen = (groups.actor, groups.critic)
    parts = encoder_parts(network, [group.layout for group in seen])
    size, read = _numbers(parts, layout)
    precise = _precise(layout, size) if layout.precise else None
    if precise is not None:
        read = partial(_exact, layout, read)
    if groups.read.spans is not None:
        size, read = _numbers(parts, groups.read.layout)[0], partial(_of, groups.read, read)
        precise = None if precise is None else groups.read(precise)
    normalizer = ObservationNormalizer(
        size,
        env.normalize_observations,
        env.observation_clip,
        env.squash_observations,
        env.observation_scale == "tails",
        read,
        groups.read.layout.float_images if any(part.kind.sees_images for part in parts) else (),
        precise,
    )

    sizes = network.critic_hidden_sizes or network.hidden_sizes
    critics = network.model_copy(update={"hidden_sizes": sizes})

    def make_encoder(part: Part, seen: Layout, network: NetworkConfig) -> Encoder:
        made = part(seen, network, source)
        return probes.check(probes.encoder, part, made, seen, part.kind.numbers(seen)[0])

    actor, critic = (
        Eye(group, partial(make_encoder, part, group.layout, of))
        for group, part, of in zip(seen, parts, (network, critics), strict=True)
    )
    return (actor, critic), normalizer


def encoder_kind(config: NetworkConfig, layout: Layout) -> str:
    """The encoder that `network.encoder` means for these observations."""
    if config.encoder != "auto":
        return config.encoder
    images = layout.byte_images if config.images == "uint8" else layout.images
    sides = [side for image in images for side in image.height_and_width]
    return "nature_cnn" if sides and min(sides) >= MIN_IMAGE_SIDE else "mlp"


def encoder_parts(config: NetworkConfig, layouts: Sequence[Layout]) -> list[Part]:
    """The encoder of each of these; one without an image beside one with images is an MLP."""
    found = []
    for layout in layouts:
        part = encoders.REGISTRY.part(encoder_kind(config, layout), config.encoder_kwargs)
        blind = not layout.images and any(other.images for other in layouts)
        found.append(encoders.REGISTRY.part("mlp") if blind and part.kind.sees_images else part)
    return found


def _numbers(parts: Sequence[Part], layout: Layout) -> tuple[int, Read]:
    """What the encoders together want normalized: of the same entries, one wants the first ones."""
    return max((part.kind.numbers(layout) for part in parts), key=lambda found: found[0])


def _of(group: Group, read: Read, obs: Tensor) -> Tensor:
    return group(read(obs))


def _exact(layout: Layout, read: Read, obs: Tensor) -> Tensor:
    return packing.exact(read(obs), obs, layout)


def _precise(layout: Layout, size: int) -> Tensor:
    """[D] bool: the entries whose remainders are kept."""
    found = torch.zeros(size, dtype=torch.bool)
    for _, (start, stop) in layout.precise:
        found[start:stop] = True
    return found
