"""Checks of your own parts, for your own tests: each raises ppo's UserError where a law is broken.

from ppo.testing import check_encoder

def test_my_encoder():
    check_encoder(MyEncoder, width=32)
"""

from ppo.algorithm.laws.environment import check_environment
from ppo.algorithm.laws.losses import check_auxiliary_loss, check_balancer
from ppo.algorithm.laws.networks import check_encoder, check_memory
from ppo.algorithm.laws.values import check_return_normalizer, check_value_clip, check_value_loss

__all__ = [
    "check_auxiliary_loss",
    "check_balancer",
    "check_encoder",
    "check_environment",
    "check_memory",
    "check_return_normalizer",
    "check_value_clip",
    "check_value_loss",
]
