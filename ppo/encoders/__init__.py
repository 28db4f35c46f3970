"""Encoders: from what the agent reads of observations to features."""

from ppo.registry import Registry

REGISTRY = Registry("ppo.encoders")
