"""A value loss of your own: the log of the hyperbolic cosine, squared near 0 and linear far away.

python examples/own_value_loss.py
"""

from __future__ import annotations

import math
import sys
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from ppo import Config, Trainer, ValueHead


class LogCosh(ValueHead):
    """Errors count in `sharpness` standard deviations of the returns."""

    def __init__(self, units: Any, sharpness: float = 1.0) -> None:
        super().__init__(units)
        self.length = self.unit / sharpness

    def loss(self, output: Tensor, values_norm: Tensor, targets_norm: Tensor) -> Tensor:
        error = (values_norm - targets_norm) / self.length  # [samples, reward components]
        return error + F.softplus(-2.0 * error) - math.log(2.0)


if __name__ == "__main__":
    settings = [
        "env.id=Pendulum-v1",
        "ppo.value_loss=own_value_loss:LogCosh",
        "ppo.value_loss_kwargs={sharpness: 2.0}",
        *sys.argv[1:],
    ]
    with Trainer(Config.load(overrides=settings)) as trainer:
        trainer.train()
