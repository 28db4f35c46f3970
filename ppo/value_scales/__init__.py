"""Between reward units and network units: the one place that converts."""

from ppo.registry import Registry

REGISTRY = Registry("ppo.value_scales")
