"""The laws of every encoder, memory and auxiliary loss, found by discovery."""

import numpy as np
import pytest
from gymnasium import spaces

from ppo.config import NetworkConfig
from ppo.losses import AUXILIARY
from ppo.networks import MEMORIES, encoders
from ppo.testing import check_auxiliary_loss, check_encoder, check_environment, check_memory

PICTURE = spaces.Box(0, 255, (36, 40, 3), np.uint8)


@pytest.mark.parametrize("kind", encoders.REGISTRY.names())
def test_encoders_keep_the_laws(kind):
    network = NetworkConfig(image_features=8, hidden_sizes=[8])
    if kind == "mlp":
        check_encoder(kind, network=network)
    else:
        check_encoder(kind, PICTURE, network)


@pytest.mark.parametrize("kind", sorted({*MEMORIES.names()} - {"none"}))
def test_memories_keep_the_laws(kind):
    check_memory(kind)


@pytest.mark.parametrize("kind", AUXILIARY.names())
@pytest.mark.parametrize("env", ["DoubleIntegrator-v0", "CartPole-v1"])
def test_auxiliary_losses_keep_the_laws(kind, env):
    check_auxiliary_loss(kind, env)


@pytest.mark.parametrize("env", ["DoubleIntegrator-v0", "TMaze-v0", "CartPole-v1"])
def test_environments_keep_the_laws(env):
    check_environment(env, steps=40)
