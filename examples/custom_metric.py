"""A metric of your own in loss_metrics.json and TensorBoard, and a setting that follows it.

python examples/custom_metric.py
"""

from __future__ import annotations

import sys
from typing import Any

from ppo import Callback, Config, Trainer


class CalmDown(Callback):
    """Logs a moving mean of the KL divergence; halves the learning rate where it is high."""

    def __init__(self, highest: float = 0.02) -> None:
        self.highest, self.mean = highest, 0.0

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        self.mean += 0.3 * (record["approx_kl"] - self.mean)
        trainer.log("mean_kl", self.mean)  # custom/mean_kl of this batch
        if self.mean > self.highest:
            trainer.set("ppo.learning_rate", 0.5 * trainer.config.ppo.learning_rate)
            self.mean = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean}  # in every checkpoint: a resumed run changes no bit

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"]


if __name__ == "__main__":
    config = Config.load(overrides=["env.id=CartPole-v1", "ppo.learning_rate=3e-3", *sys.argv[1:]])
    with Trainer(config, callbacks=[CalmDown()]) as trainer:
        trainer.train()
