"""Memories: what an agent carries from one observation of an episode to the next."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.networks.memories")
