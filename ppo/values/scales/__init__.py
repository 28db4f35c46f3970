"""Conversion between reward units and network units, which happens only here."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.values.scales")
