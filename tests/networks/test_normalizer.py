"""What observations are divided by: their deviation, or more where rare values are large."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ppo import Config, Trainer
from ppo.networks.normalizer import ObservationNormalizer


def normalizer(size: int, tails: bool) -> ObservationNormalizer:
    return ObservationNormalizer(size, True, 10.0, "none", tails, lambda obs: obs)


def taught(samples: np.ndarray, tails: bool = True, parts: int = 1) -> ObservationNormalizer:
    made = normalizer(samples.shape[1], tails)
    for part in np.array_split(samples.astype(np.float32), parts):
        made.update(torch.from_numpy(part), torch.ones(len(part)))
    return made


def test_a_normal_entry_keeps_its_deviation():
    samples = np.random.default_rng(1).normal(3.0, 2.0, (20_000, 1))
    scale = 1.0 / taught(samples).inverse_std.item()
    assert samples.std() <= scale * (1 + 1e-6) and scale < 1.02 * samples.std()


@pytest.mark.parametrize("share", [0.1, 0.01, 0.001])
def test_a_rare_value_comes_to_the_root_of_three(share):
    samples = np.zeros((10_000, 2))
    samples[: int(share * 10_000), 0] = 1.0  # a contact
    samples[: int(share * 10_000), 1] = -7.0
    contact, rest = torch.tensor([[1.0, -7.0]]), torch.zeros(1, 2)
    made, plain = taught(samples), taught(samples, tails=False)
    difference = (made(contact) - made(rest)).abs()
    np.testing.assert_allclose(difference.numpy(), 3**0.5, rtol=0.25)
    assert ((plain(contact) - plain(rest)).abs() >= min(9.9, 0.9 * share**-0.5)).all()


def test_it_is_the_formula():
    samples = np.random.default_rng(2).standard_t(3, (5_000, 3))
    distance = samples.astype(np.float32) - samples.astype(np.float32).mean(0, dtype=np.float64)
    second, fourth = (distance**2).mean(0), (distance**4).mean(0)
    expected = np.maximum(np.sqrt(second), np.sqrt(fourth / (3 * second)))
    np.testing.assert_allclose(1.0 / taught(samples).inverse_std.numpy(), expected, rtol=1e-5)


def test_samples_in_parts_give_nearly_the_same():
    samples = np.random.default_rng(3).standard_t(6, (8_000, 2))
    whole, parts = taught(samples), taught(samples, parts=8)
    torch.testing.assert_close(parts.inverse_std, whole.inverse_std, rtol=0.02, atol=0.0)


@pytest.mark.parametrize("tails", [False, True])
def test_an_entry_of_any_size_is_seen_alike(tails):
    samples = np.random.default_rng(4).standard_t(6, (64, 1)).astype(np.float32)
    plain = taught(samples, tails, parts=2)(torch.from_numpy(samples))
    for exponent in (-33, -27, 40):  # powers of two change no bit of the samples
        small = samples * np.float32(2.0**exponent)
        assert torch.equal(taught(small, tails, parts=2)(torch.from_numpy(small)), plain)


def test_a_constant_entry_gives_zero():
    assert taught(np.full((100, 1), 5.0))(torch.tensor([[5.0], [6.0]])).tolist() == [[0.0], [0.0]]


def test_a_training_uses_it_and_resumes_without_changing_a_bit(tmp_path):
    sets = [
        "env.id=CartPole-v1", "env.num_envs=4", "env.observation_scale=tails", "ppo.num_steps=32",
        "ppo.num_minibatches=4", "network.hidden_sizes=[8]", "train.checkpoint_interval=1",
        "evaluation.interval=0", "system.compile=never", "ppo.learning_rate_schedule=constant",
    ]  # fmt: skip

    def config(batches):
        return Config.from_dict({}, [*sets, f"train.total_timesteps={128 * batches}"])

    whole = Trainer(config(4), tmp_path / "whole")
    whole.train()
    Trainer(config(2), tmp_path / "half").train()
    rest = Trainer(config(4), tmp_path / "half", resume="latest")
    rest.train()
    states = [trainer.learner.state_dict() for trainer in (whole, rest)]
    assert any(name.endswith("exact_fourth") for name in states[0])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
