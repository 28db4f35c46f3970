"""The laws of every value scale, found by discovery."""

import pytest
import torch
from torch import nn

from ppo.algorithm.laws.values import learn, returns
from ppo.testing import check_return_normalizer
from ppo.values import SCALES


@pytest.mark.parametrize("kind", SCALES.names())
def test_it_keeps_the_laws(kind):
    check_return_normalizer(kind)


@pytest.mark.parametrize("kind", ["batch", "popart", "running"])
def test_targets_have_the_deviation_asked_for(kind):
    scale, critic = SCALES.get(kind)(3, 10.0, 5.0), nn.Linear(8, 3)
    for _ in range(60):
        learn(scale, returns(0), critic)
    n = scale.to_norm(returns(0))
    torch.testing.assert_close(n.std(0, correction=0), torch.full((3,), 10.0), rtol=1e-3, atol=0)
    torch.testing.assert_close(n.mean(0), torch.zeros(3), rtol=0, atol=1e-2)
