"""Prediction x Batch -> a named loss."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.losses")
