"""The entropy bonus."""

from __future__ import annotations

from ppo.config import PPOConfig
from ppo.core.data import Batch, Prediction
from ppo.functional.moments import masked_mean
from ppo.losses import REGISTRY
from ppo.losses.base import Knobs, Loss, Parts, Term


@REGISTRY.register("entropy")
class EntropyLoss(Loss):
    """`-entropy_coefficient * H`; the entropy does not depend on rewards or their scale."""

    name = "entropy"

    def __init__(self, config: PPOConfig, parts: Parts) -> None:
        self.distribution = parts.distribution

    def __call__(self, prediction: Prediction, batch: Batch, knobs: Knobs) -> Term:
        entropy = masked_mean(self.distribution.entropy(prediction.policy), batch.valid)
        return Term(-knobs.entropy_coefficient * entropy, {"entropy": entropy.detach()})
