"""Proximal feature optimization: the features of a batch's samples may move only so far."""

from __future__ import annotations

from ppo.config import PPOConfig
from ppo.core.data import Batch, Prediction
from ppo.functional.moments import masked_mean
from ppo.losses import REGISTRY
from ppo.losses.base import Knobs, Loss, Parts, Term


@REGISTRY.register("features")
class FeatureLoss(Loss):
    """`mean ||phi(s) - phi_old(s)||^2` (Moalla et al. 2024, arXiv 2405.00662, eq. 5).

    Taken on the last hidden layer of the encoder that feeds the critic (shared or not), after its
    activation; the paper takes pre-activations.
    """

    name = "features"

    def __init__(self, config: PPOConfig, parts: Parts) -> None:
        self.weight = config.feature_regularization

    def __call__(self, prediction: Prediction, batch: Batch, knobs: Knobs) -> Term:
        moved = (prediction.features - batch.targets["old_features"]).square().mean(-1)
        loss = masked_mean(moved, batch.valid)
        return Term(loss, {"feature_movement": loss.detach()})
