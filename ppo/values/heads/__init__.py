"""What the critic's output layer means: one number, or a distribution over bins."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.values.heads")
