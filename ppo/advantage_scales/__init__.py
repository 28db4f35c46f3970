"""What advantages are divided by before the policy learns from them."""

from ppo.registry import Registry

REGISTRY = Registry("ppo.advantage_scales")
