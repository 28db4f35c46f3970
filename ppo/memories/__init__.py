"""Memories: what an agent carries from one observation of an episode to the next."""

from ppo.registry import Registry

REGISTRY = Registry("ppo.memories")
