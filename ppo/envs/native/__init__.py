"""Torch-native environments, one file each, filed under their Gymnasium id."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.envs.native")  # Gymnasium id -> TorchEnvironment
