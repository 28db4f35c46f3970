"""Colored noise: correlated from step to step."""

from __future__ import annotations

import torch
from torch import Tensor


def spectrum(num_steps: int, color: float, device: torch.device | None = None) -> Tensor:
    """Amplitudes of the frequencies 0, 1/T, ... 1/2 of noise with power 1 / f^color, [T // 2 + 1].

    The mean square over all T frequencies, the negative ones included, is 1, so that filtering
    keeps the variance. Frequency 0 counts as the lowest above it.
    """
    frequencies = torch.fft.rfftfreq(num_steps, dtype=torch.float64, device=device)
    frequencies[0] = frequencies[1]
    amplitudes = frequencies ** (-color / 2)
    both = torch.cat([amplitudes, amplitudes[1 : (num_steps + 1) // 2]])
    return amplitudes / both.square().mean().sqrt()


def colored(white: Tensor, color: float) -> Tensor:
    """Standard normal noise [T, ...], independent at first, with a power spectrum 1 / f^color.

    Every entry stays standard normal; entries of different steps become correlated
    (Timmer and Koenig 1995; for actions Eberhard et al. 2023 and, in PPO, Hollenstein et al. 2024,
    arXiv 2312.11091). Color 0 is white, 1 pink, 2 red.
    """
    num_steps = white.shape[0]
    if color == 0.0 or num_steps < 2:
        return white
    amplitudes = spectrum(num_steps, color, white.device).to(white.dtype)
    shape = (-1, *[1] * (white.dim() - 1))
    found = torch.fft.rfft(white, dim=0) * amplitudes.view(shape)
    return torch.fft.irfft(found, n=num_steps, dim=0)
