"""A critic on raw returns that lie outside what its head can reach."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number, setting
from ppo.insight.logs.log import UNSURE_UNITS, Column, MetricsLog
from ppo.insight.rules import MILD, SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._critic import left, normalizes_returns, value_weight
from ppo.insight.rules._policy import ORDINARY_RATE, cut
from ppo.insight.rules._returns import begins_late, falls, gain, rises
from ppo.insight.rules._signs import first_finite, lasting, median

LARGE = 10.0  # reward units: value targets belong in [-10, 10] (S, Andy Jones); not unit-free
BLIND = 0.1  # explained variance (J)
SEES = 0.5  # explained variance, of a critic to which large gradients do no harm (M)
ERROR = 0.9  # root error over the std of the return (J)
LONG = 12  # batches before a moderate size is judged
MODERATE = 100.0  # reward units, below which a run that rises is left in peace
FAR = 20.0  # batches to reach the returns (M: 150 at a mean of 1000)
BIASED = 0.5  # share of the error that is a constant offset (J)
RATIO = 100.0  # value over policy gradient: raw returns drown the policy (M)
CUT = 100.0  # gradient norm over the clip (M: raw returns 700 to 4,600)
STEP = 65.0  # output moved per step is about lr * (1 + 64 saturated features) (M)
STUCK = 0.7  # of its first root error: what the critic has not moved below
PERHAPS = 1.4  # standard errors of a rise that a log without explained variance must lack (J)
MULTIPLIED = 12.0  # error over the largest episode return, which is the sum of its rewards (J)
LATE = 0.3  # of the run, after which a scale that was right can only have followed a fall (J)
WEIGHTLESS = 1e-3  # a value loss weight below which the weight is the cause


@rule("reward_scale_too_large")
class RewardScaleTooLarge(Rule):
    number = 5
    needs = (("explained_variance", "value_rmse"), ("value_rmse", "mean_episode_return"))
    explains = (
        "reward_scale_too_small", "value_clip_too_tight", "gradients_always_clipped",
        "value_loss_dominates", "learning_rate_too_low", "no_reward_signal", "entropy_collapse",
        "entropy_coefficient_too_high", "critic_blind", "value_loss_weight_too_small",
        "value_loss_exploding", "observations_unnormalized", "policy_collapse", "loss_imbalance",
    )  # fmt: skip
    sources = ("andyljones.com/posts/rl-debugging.html", "RLlib: abs(reward) / vf_clip_param > 200")

    def check(self, log: MetricsLog) -> Finding | None:
        if normalizes_returns(log) is not False:
            return None
        error = log.get("value_rmse")
        size = np.fmax(np.abs(log.get("return_mean")), log.get("return_std"))
        size = np.where(np.isfinite(size), size, error)
        far = log.get("batches_to_reach")
        if not log.has("batches_to_reach"):
            far = error / self._reach(log)
        biased = log.get("bias_share") > BIASED
        lost = (log.get("explained_variance") < BLIND) | (log.get("error_over_std") > ERROR)
        sees = log.get("explained_variance") > SEES
        lost |= (cut(log) > CUT) & ~sees  # a critic that sees a little is still too far
        if not log.has("explained_variance"):
            lost = error > STUCK * first_finite(error)
        beyond = lost & (size > LARGE) & ((far > FAR) | biased)
        row = lasting(beyond, 5, 6, share=0.5)
        if left(error) < STUCK and median(far[-5:]) < FAR:  # on its way, and near enough to arrive
            row = None
        drowned = (log.get("value_to_policy_gradient") > RATIO) & (cut(log) > CUT)
        if row is None:
            row = lasting(drowned & (size > MODERATE), 5, 6, share=0.5)
        rate, weight = median(log.get("learning_rate")), value_weight(log)
        if row is None or rate < ORDINARY_RATE[0] or weight < WEIGHTLESS:
            return None  # or another cause
        if row > LATE * len(log) and falls(log):
            return None  # it is the fall that made the targets large
        if not log.has("explained_variance"):
            multiplied = self._beyond(log, row, size) > MULTIPLIED
            if rises(log) or gain(log) > PERHAPS and not multiplied:
                return None  # a large loss beside a return that rises proves nothing
            if log.writer in UNSURE_UNITS and not multiplied:
                return None  # nor one whose unit is not known
        estimated = not log.has("batches_to_reach")
        moderate = median(size[row:]) < MODERATE
        passed = lasting(beyond, 5, 6) is None  # a critic that comes late has found its way
        seen = log.writer == "ppo" or (log.has("mean_episode_return") and not begins_late(log))
        if estimated and moderate and (rises(log) or len(log) < LONG or passed or not seen):
            return None
        severity = MILD if estimated and moderate else SEVERE
        return self._report(log, row, size, far, severity)

    def _reach(self, log: MetricsLog) -> Column:
        """Reward units by which the critic can move in a batch, as far as the log shows it."""
        rate = median(log.get("learning_rate"))
        rate = rate if np.isfinite(rate) else 3e-4
        steps = log.number("ppo.num_epochs") * log.number("ppo.num_minibatches")
        if not np.isfinite(steps):  # Stable-Baselines3's defaults: 10 epochs, minibatches of 64
            batch = median(log.batch_steps()[1:])
            steps = 10 * batch / 64 if np.isfinite(batch) else 300.0
        return np.full(len(log), max(rate * STEP * steps, 1e-300))

    def _beyond(self, log: MetricsLog, row: int, size: Column) -> float:
        """Size of the targets over the largest return of an episode, 0 where that is not known."""
        largest = float(np.nanmax(np.abs(log.get("mean_episode_return")), initial=0.0))
        return median(size[row:]) / largest if largest else 0.0

    def _report(
        self, log: MetricsLog, row: int, size: Column, far: Column, severity: str
    ) -> Finding:
        variance = median(log.get("explained_variance")[row:])
        evidence = f"targets of size {number(median(size[row:]))}, about "
        evidence += f"{number(median(far[row:]))} batches away for this learning rate"
        ratio = median(log.get("value_to_policy_gradient")[row:])
        if ratio > RATIO:
            evidence += f"; value gradient {number(ratio)} times the policy's"
        if np.isfinite(variance):
            evidence += f"; explained variance {number(variance)}"
        confidence = 0.9
        beyond = self._beyond(log, row, size)
        if beyond > MULTIPLIED:  # such targets cannot come from the rewards of the episodes
            evidence += f"; {number(beyond)} times the episode return: rewards were multiplied"
            confidence = 0.97
        if log.writer == "rsl_rl":
            evidence, confidence = evidence + " (weak: no explained variance in this log)", 0.4
        changes = [
            Change("ppo.normalize_returns", "true"),
            Change("env.reward_scale", setting(1 / max(median(size[row:]), 1e-300))),
            Change("ppo.value_loss_weight", "0.25"),
        ]
        return self.found(log, row, evidence, changes, confidence, severity)
