"""Encoders: from rows of observations to features."""

from ppo.core.registry import Registry

REGISTRY = Registry(
    "ppo.networks.encoders", "encoder", "network.encoder", "ppo.networks.encoders.base:Encoder"
)
