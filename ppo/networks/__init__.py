"""Actor and critic, and what they are made of."""

from ppo.core.registry import Registry

MEMORIES = Registry("ppo.networks", "memory", "network.memory", "ppo.networks.memory:Memory")
