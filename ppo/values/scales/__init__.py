"""Between reward units and network units: the one place that converts."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.values.scales")
