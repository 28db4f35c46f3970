"""An auxiliary loss of your own: the features must tell which action was taken.

python examples/own_auxiliary_loss.py
"""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ppo import AuxiliaryLoss, Config, Trainer


class LastAction(AuxiliaryLoss):
    def make_head(self, num_features: int, num_obs: int) -> nn.Module:
        return nn.Linear(num_features, 2)

    def targets(self, rollout: Any) -> dict[str, Tensor]:  # [steps, environments, ...]
        actions = rollout.actions[..., 0]
        return {"LastAction": actions.flatten(), "LastAction_mask": rollout.valid.flatten()}

    def errors(self, prediction: Any, batch: Any) -> Tensor:  # one for each entry of the mask
        logits = self.head(prediction.features)
        return F.cross_entropy(logits, batch.targets["LastAction"], reduction="none")


if __name__ == "__main__":
    settings = [
        "env.id=CartPole-v1",
        "auxiliary.losses=['own_auxiliary_loss:LastAction']",
        "auxiliary.losses_kwargs={LastAction: {weight: 0.05}}",
        *sys.argv[1:],
    ]
    with Trainer(Config.load(overrides=settings)) as trainer:
        trainer.train()
