"""What the critic's output layer means: one number, or a distribution over bins."""

from ppo.registry import Registry

REGISTRY = Registry("ppo.value_heads")
