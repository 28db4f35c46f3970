"""The returns never differ, so that there is nothing to learn from."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._critic import stands
from ppo.insight.rules._returns import begins_late, rises
from ppo.insight.rules._signs import first_finite, known, median, onset, spikes
from ppo.insight.rules._solved import goes_on

LONG = 20  # batches: ten of a slow game are too few (J)
MANY = 300  # episodes, of which not one was another: fewer than 1 % are (S: the rule of three)
ZERO_SHARE = 0.999  # of the rewards (J)
SAME = 0.01  # of its size, by which the mean episode return may differ (J)
SAME_SHARE = 0.9  # of the batches from the start on
FLOOR = 0.1  # of the batches, that share one return to the last digit: those of noise do not (J)
NOISY = 0.5  # of the returns' whole range, that of their later half where they are noise (J)
FLAT = 1e-9  # std of the return, as a share of the largest return
LEARNED_AWAY = 0.01  # of its first root error: the critic has learned that there is nothing
VANISHED = 0.1  # error left of the first, with a critic that never saw anything (J)
SEES, BLIND = 0.4, 0.1  # explained variance, at its best and now (J)
LIVELY = 0.02  # of the returns' whole range, that of their later half (J)
OF_STEPS = ("learning_rate_too_low", "value_loss_weight_too_small")
COLLAPSED = 0.1  # relative entropy below which the lack of reward may be a consequence


@rule("no_reward_signal")
class NoRewardSignal(Rule):
    number = 3
    waits = 10
    needs = (("return_std",), ("mean_episode_return",), ("reward_zero_share",))
    explains = (
        "learning_rate_too_low", "entropy_coefficient_too_high", "critic_blind",
        "critic_overfits", "reward_scale_too_small", "batch_too_small", "gamma_horizon",
        "loss_imbalance", "time_limit_as_failure", "reward_scale_too_large",
        "value_clip_too_tight", "observations_unnormalized", "value_loss_weight_too_small",
        "policy_collapse",
    )  # fmt: skip
    sources = ("Stable-Baselines3 #816",)

    def check(self, log: MetricsLog) -> Finding | None:
        row, confidence = self._by_rewards(log), 0.95
        zero = median(log.get("reward_zero_share")[-LONG:]) > ZERO_SHARE
        evidence = "rewards are zero" if zero else "returns have no spread"
        if row is None:
            row = None if goes_on(log) else self._by_returns(log)
            returns = first_finite(log.get("mean_episode_return"))
            count = int(np.isfinite(log.get("mean_episode_return")).sum())
            evidence = f"mean episode return stays at {number(returns)} in {count} batches"
            if row is not None and not self._constant(log):
                confidence = 0.85  # a few episodes show what there is
        if row is None:
            row, evidence = self._by_vanishing_loss(log)
        if row is None or self._collapsed_first(log):
            return None
        at_once = bool((log.get("mean_episode_length") <= 1).all())
        if at_once:
            evidence = f"every episode ends after one step; {evidence}"
        changes = [
            *([Change("", "", "look why episodes end at once")] if at_once else []),
            Change("", "", "shape the reward, or start episodes nearer to the goal"),
            Change("ppo.entropy_coefficient", "0.01", "more exploration"),
            Change("ppo.num_steps", "", "four times as many steps a batch", times=4.0),
        ]
        # Nor does it explain why a critic does not learn that there is none.
        unexplained = OF_STEPS if stands(log) else ()
        explained = [name for name in self.explains if name not in unexplained]
        return self.found(log, row, evidence, changes, confidence, explains=explained)

    def _constant(self, log: MetricsLog) -> bool:
        """Whether all mean returns are one and the same."""
        returns = log.returns()
        return bool(np.ptp(returns) <= FLAT * np.max(np.abs(returns))) if len(returns) else False

    def _of_many(self, log: MetricsLog) -> bool:
        """Whether many episodes have brought one and the same return."""
        episodes = float(np.nansum(log.batch_steps())) / median(log.get("mean_episode_length"))
        return episodes >= MANY and self._constant(log)

    def _by_rewards(self, log: MetricsLog) -> int | None:
        if not log.has("return_std"):
            return None
        largest = np.maximum(np.abs(log.get("return_max")), np.abs(log.get("return_min")))
        size = np.where(np.isfinite(largest), largest, 0.0)
        silent = log.get("return_std") <= FLAT * size
        if log.has("reward_zero_share"):
            silent |= log.get("reward_zero_share") > ZERO_SHARE
            nothing = log.get("mean_episode_return") == 0  # though a critic still expects some
            silent &= nothing | (log.get("return_std") <= np.nanmax(log.get("return_std")) * SAME)
        row = onset(silent, LONG, LONG)
        still = row is not None and bool(silent[-LONG:].all())
        return row if still and not rises(log) else None

    def _by_returns(self, log: MetricsLog) -> int | None:
        rows, returns = known(log.get("mean_episode_return"))
        if len(returns) < LONG and not self._of_many(log):
            return None
        usual = float(np.median(returns))
        if usual > 0 and begins_late(log):
            return None  # a return that stands may be all that there is to win
        near = np.abs(returns - usual) <= SAME * abs(usual)
        whole, later = np.ptp(returns), np.ptp(returns[len(returns) // 2 :])
        shared = float(np.unique(returns, return_counts=True)[1].max())
        if shared < FLOOR * len(returns) and later > NOISY * whole:
            return None  # means of many episodes, which differ though these do not
        if rises(log) and whole > SAME / 2 * abs(usual) and later > LIVELY * whole:
            return None  # a small part that rises over a large constant
        if near.mean() >= SAME_SHARE and np.ptp(returns) <= 2 * SAME * abs(usual):
            return int(rows[0])
        if rises(log):
            return None
        same = np.abs(returns - returns[0]) <= SAME * abs(returns[0])
        if returns[0] == 0:
            same = returns == 0
        if same.mean() >= SAME_SHARE:
            return int(rows[0])
        _, errors = known(log.get("value_rmse"))
        forgotten = len(errors) > 0 and errors[-1] < LEARNED_AWAY * errors[0]
        return int(rows[0]) if forgotten and same.mean() >= 0.5 and same[-1] else None

    def _by_vanishing_loss(self, log: MetricsLog) -> tuple[int | None, str]:
        """A critic that never explained anything, of an error that is gone: targets are zero."""
        rows, errors = known(log.get("value_rmse"))
        _, variance = known(log.get("explained_variance"))
        if len(errors) < LONG or len(variance) < LONG:
            return None, ""
        error = float(np.median(errors[-5:]))
        left = error / max(float(errors[0]), 1e-300)
        returns = log.returns()
        if error > median(np.abs(log.get("mean_episode_return")) / log.get("mean_episode_length")):
            return None, ""  # as large as what a step brings: rewards that hardly differ arrive
        if len(returns) and rises(log):
            shrunk = abs(float(returns[-1] / returns[0])) if returns[0] else np.inf
            if shrunk > 1:  # a gain that grows is a reward that arrives
                return None, ""
            left /= shrunk or 1.0  # costs that shrink, shrink the error by as much
        saw = float(np.quantile(variance, 0.95)) > SEES
        if left > VANISHED or saw or float(np.median(variance[-10:])) > BLIND:
            return None, ""
        if spikes(log.get("return_std")):  # now and then there is one
            return None, ""
        evidence = f"the value error vanished, to {number(100 * left)} % of its first"
        return int(rows[0]), evidence + ", though the critic explains nothing: no reward arrives"

    def _collapsed_first(self, log: MetricsLog) -> bool:
        early = log.get("entropy_relative")[: max(len(log) // 3, LONG)]
        return bool((early < COLLAPSED).any())
