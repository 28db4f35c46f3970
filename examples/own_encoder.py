"""An encoder of your own: residual layers, with options in the configuration.

python examples/own_encoder.py
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

from ppo import Config, Encoder, Trainer


class Residual(Encoder):
    """`x + f(x)` on top of one layer."""

    def __init__(self, layout: Any, network: Any, source: Any, width: int = 64) -> None:
        super().__init__()
        size, _ = self.numbers(layout)  # entries of a normalized observation
        self.num_features = width
        self.first, self.second = nn.Linear(size, width), nn.Linear(width, width)

    def forward(self, numbers: Tensor, obs: Tensor) -> Tensor:
        x = torch.tanh(self.first(numbers))
        return x + torch.tanh(self.second(x))


if __name__ == "__main__":
    settings = [
        "env.id=CartPole-v1",
        "network.encoder=own_encoder:Residual",  # module:Class; a run finds it by this path
        "network.encoder_kwargs={width: 32}",
        *sys.argv[1:],
    ]
    with Trainer(Config.load(overrides=settings)) as trainer:
        trainer.train()
