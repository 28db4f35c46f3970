"""Weights chosen by hand."""

from __future__ import annotations

from ppo.losses.balancers import REGISTRY
from ppo.losses.balancers.base import Balancer


@REGISTRY.register("fixed")
class Fixed(Balancer):
    """`sum_j weight_j * loss_j`; the baseline of every comparison.

    Tuned fixed weights match the adaptive methods in careful studies (Kurin et al. 2022, arXiv
    2201.04122).
    """
