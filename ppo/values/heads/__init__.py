"""Meaning of the critic's output layer: one number, or a distribution over bins."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.values.heads")
