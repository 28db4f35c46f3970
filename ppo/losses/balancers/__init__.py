"""From several losses to one: [J] -> total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ppo.core.registry import Part, Registry

if TYPE_CHECKING:
    from ppo.config import BalancingConfig

REGISTRY = Registry(
    "ppo.losses.balancers", "balancer", "balancing.kind", "ppo.losses.balancers.base:Balancer"
)


def part_of(config: BalancingConfig) -> Part:
    """The class of the balancer, with the user's options where it is the user's."""
    return REGISTRY.part(config.kind, config.kind_kwargs)


def balancer_for(
    config: BalancingConfig, names: list[str], weights: list[float], num_outputs: list[int]
) -> Any:
    """The balancer of a configuration for J losses; those that are shipped take its settings."""
    part = part_of(config)
    options = {} if part.own else config.model_dump(exclude={"kind", "kind_kwargs"})
    return part(names, weights, num_outputs, **options)
