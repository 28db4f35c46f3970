"""Divisors of the advantages, applied before the policy's update."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.losses.advantages")
