"""Prediction x Batch -> a named loss."""

from ppo.registry import Registry

REGISTRY = Registry("ppo.losses")
