"""What advantages are divided by before the policy learns from them."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.losses.advantages")
