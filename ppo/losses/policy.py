"""The clipped surrogate."""

from __future__ import annotations

from ppo.config import PPOConfig
from ppo.core.data import Batch, Prediction
from ppo.functional.moments import masked_mean
from ppo.functional.policy import approximate_kl, clipped_surrogate, normalize_advantages
from ppo.losses import REGISTRY
from ppo.losses.base import Knobs, Loss, Parts, Term


@REGISTRY.register("policy")
class PolicyLoss(Loss):
    """Schulman et al. 2017, eq. 7, with advantages normalized over the minibatch if so set."""

    name = "policy"

    def __init__(self, config: PPOConfig, parts: Parts) -> None:
        self.distribution = parts.distribution
        self.per_minibatch = config.normalize_advantages == "minibatch"

    def __call__(self, prediction: Prediction, batch: Batch, knobs: Knobs) -> Term:
        weights, advantages = batch.valid, batch.advantages
        if self.per_minibatch:
            advantages = normalize_advantages(advantages, weights)
        log_prob = self.distribution.log_prob(prediction.policy, batch.actions)
        log_ratio = log_prob - batch.old_log_probs
        ratio = log_ratio.exp()
        loss = masked_mean(clipped_surrogate(ratio, advantages, knobs.clip_epsilon), weights)
        outside = ((ratio - 1.0).abs() > knobs.clip_epsilon).float()
        deviation = ((ratio - 1.0).abs() * weights).amax()
        metrics = {
            "policy_loss": loss,
            "approx_kl": masked_mean(approximate_kl(log_ratio), weights),
            "clip_fraction": masked_mean(outside, weights),
            "ratio_deviation": deviation,
        }
        return Term(loss, {name: value.detach() for name, value in metrics.items()})
