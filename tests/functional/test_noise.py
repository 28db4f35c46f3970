"""Colored noise: every entry standard normal, its spectrum and what steps say about each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ppo.functional.noise import colored

LENGTHS = [2, 3, 7, 16, 33]


def white(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filtered(noise: np.ndarray, color: float) -> np.ndarray:
    """The slow way: each frequency projected out by cosines, scaled and put back."""
    steps = np.arange(len(noise))
    power = np.array([max(min(k, len(noise) - k), 1) ** -color for k in steps])
    amplitudes = np.sqrt(power / power.mean())
    result = np.zeros_like(noise)
    for k, amplitude in enumerate(amplitudes):
        turns = np.cos(2 * math.pi * k * (steps[:, None] - steps[None, :]) / len(noise))
        result += amplitude * (turns @ noise) / len(noise)
    return result


@pytest.mark.parametrize("num_steps", LENGTHS)
@pytest.mark.parametrize("color", [0.5, 1.0, 2.0])
def test_it_is_the_slow_filter_s(num_steps, color):
    noise = white(num_steps, 3)
    assert np.allclose(colored(noise, color).numpy(), filtered(noise.numpy(), color), atol=1e-12)


@pytest.mark.parametrize("num_steps", LENGTHS)
def test_color_0_changes_no_bit(num_steps):
    noise = white(num_steps, 2, 3)
    assert torch.equal(colored(noise, 0.0), noise)
    assert colored(noise, 1.0).shape == noise.shape


def test_a_single_step_has_no_color():
    noise = white(1, 4, 2)
    assert torch.equal(colored(noise, 1.0), noise)


@pytest.mark.parametrize("num_steps", LENGTHS)
@pytest.mark.parametrize("color", [0.5, 1.0, 2.0])
def test_every_step_keeps_deviation_1(num_steps, color):
    """The filter is linear, so the variance of each step follows from unit impulses."""
    filters = colored(torch.eye(num_steps, dtype=torch.float64), color)
    variances = filters.square().sum(1)
    assert torch.allclose(variances, torch.ones_like(variances), atol=1e-12)


def test_more_color_makes_neighbors_more_alike():
    noise = white(64, 2000)
    alike = []
    for color in (0.0, 0.5, 1.0, 2.0):
        rows = colored(noise, color)
        alike.append(float((rows[1:] * rows[:-1]).mean()))
    assert alike[0] == pytest.approx(0.0, abs=0.02)
    assert all(later > earlier + 0.1 for earlier, later in zip(alike, alike[1:], strict=False))


def test_columns_stay_independent():
    """Environments and action entries do not hear each other."""
    noise = white(32, 3)
    other = noise.clone()
    other[:, 1] = white(32, seed=1)
    before, after = colored(noise, 1.0), colored(other, 1.0)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.equal(before[:, 1], after[:, 1])
