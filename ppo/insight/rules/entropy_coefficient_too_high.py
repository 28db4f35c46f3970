"""The entropy bonus beats the advantages: the policy stays random, or spreads without end."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number, setting
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._policy import ordinary_rate, present
from ppo.insight.rules._returns import falls, rises
from ppo.insight.rules._signs import known, median

KEY = "ppo.entropy_coefficient"
UNIFORM = 0.98  # relative entropy (J)
ALL = 0.993  # relative entropy that means the same even while the return creeps up (M)
LATE = 0.2  # of the run after which it must have fallen (J)
LONG = 20  # batches before "still uniform" means anything
GROWS = 1.5  # times by which what is missing to the maximum grows while the return rises (J)
SEES = 0.3  # explained variance of a critic that is ahead of the policy (J)
HELD = 0.9  # relative entropy that a bonus can hold for half a run (M)
HEAVY = 0.1  # a coefficient ten times the usual (J)
USUAL = 0.01  # the largest coefficient that is common (S: Stable-Baselines3's zoo)
HEAVY_HELD = 0.8  # relative entropy that is suspect with such a coefficient (J)
STILL = 0.02  # fall of the relative entropy in that half
MOVES = 1e-4  # KL above which the policy is being trained at all
SPREAD = 2.718  # growth of the policy's deviation since the start (S: log-std past 1)
RISING = 10  # batches in a row
WIDER = 1.4  # growth that is suspect where its pace does not slow (M: sick 1.6, healthy 0.8)
PACE = 0.8  # of the mean pace, in each third of the run (M: sick 0.9, healthy 0.2)
WORSE = 0.5  # of that, where the return falls meanwhile (M: sick 0.6)


@rule("entropy_coefficient_too_high")
class EntropyCoefficientTooHigh(Rule):
    number = 14
    waits = RISING
    needs = (("entropy_relative",), ("policy_std",))
    explains = (
        "learning_rate_too_low", "learning_rate_too_high", "too_many_epochs",
        "actions_out_of_bounds", "observations_unnormalized", "policy_collapse", "critic_blind",
        "loss_imbalance",
    )  # fmt: skip
    sources = ("Stable-Baselines3 #2240", "rlpyt #124")

    def check(self, log: MetricsLog) -> Finding | None:
        row, evidence = self._spreads(log) if log.has("policy_std") else self._uniform(log)
        if row is None:
            return None
        coefficient = present(log, KEY)
        if coefficient <= 0:
            return None
        is_known = np.isfinite(coefficient)
        evidence += f", at a coefficient of {number(coefficient)}" if is_known else ""
        lower = setting(min(coefficient / 10, USUAL)) if is_known else "0.0"
        changes = [
            Change(KEY, lower, "" if is_known else "if it is not 0 already"),
            Change("ppo.normalize_returns", "true", "if advantages are not normalized"),
        ]
        sure = 0.8 if is_known else 0.6
        # No guess: such a policy leaves returns that no critic can tell.
        more = ("value_clip_too_tight", "gamma_horizon") if coefficient > HEAVY else ()
        return self.found(log, row, evidence, changes, sure, explains=(*self.explains, *more))

    def _spreads(self, log: MetricsLog) -> tuple[int | None, str]:
        rows, deviation = known(log.get("policy_std"))
        if len(deviation) < RISING + 1:
            return None, ""
        grown = deviation[-1] / deviation[0]
        far = grown > SPREAD and (np.diff(deviation)[-RISING:] > 0).mean() >= 0.8
        if not far and not (grown > WIDER and self._never_slows(log, deviation)):
            return None, ""
        begun = deviation > min(1.5, np.sqrt(grown)) * deviation[0]
        past = int(rows[np.flatnonzero(begun)[0]])
        return past, f"policy std grew {number(grown)} times and is rising"

    def _never_slows(self, log: MetricsLog, deviation: Column) -> bool:
        """A policy that widens at one pace all along, for a bonus that is heavy or not known."""
        light = present(log, KEY) <= HEAVY
        thirds = np.diff(np.log(deviation[np.linspace(0, len(deviation) - 1, 4).astype(int)]))
        pace = PACE * (WORSE if falls(log) else 1.0)
        return len(log) >= LONG and not light and bool(thirds.min() > pace * thirds.mean())

    def _stands_still(self, log: MetricsLog) -> bool:
        """A policy that is held near uniform, by a heavy bonus or though the critic sees better."""
        half = len(log) // 2
        entropy, quarter = log.get("entropy_relative")[half:], max(len(log) // 4, 2)
        heavy = present(log, KEY) > HEAVY
        held = HEAVY_HELD if heavy else HELD
        if not heavy and median(np.abs(log.get("approx_kl"))) <= MOVES:
            return False  # it is not the bonus that holds what does not move at all
        if (
            len(log) < (LONG if heavy else 1.5 * LONG)
            or not log.has("mean_episode_return")
            or not float(np.nanmin(entropy, initial=1.0)) > held
        ):
            return False
        fell = median(entropy[:quarter]) - median(entropy[-quarter:])
        sees = median(log.get("explained_variance")[half:]) > SEES
        later = MetricsLog(
            columns={"mean_episode_return": log.get("mean_episode_return")[half:]},
            batches=log.batches[half:],
            writer=log.writer,
        )
        return bool(fell < STILL and (sees or heavy) and not rises(later))

    def _fades(self, late: Column) -> bool:
        """Whether what is missing to the maximum keeps growing: a bonus would hold it."""
        _, missing = known(1 - late)
        quarter = max(len(missing) // 4, 1)
        early = max(median(missing[:quarter]), 0.0)
        return bool(median(missing[-quarter:]) > GROWS * early)

    def _uniform(self, log: MetricsLog) -> tuple[int | None, str]:
        entropy = log.get("entropy_relative")
        start = int(LATE * len(log))
        late = entropy[start:]
        if self._stands_still(log):
            half = len(log) // 2
            level = number(100 * median(entropy[half:]))
            return half, f"entropy stays at {level} % of its maximum, and the return stands"
        if len(log) < LONG or not median(late) > UNIFORM or not median(late[-5:]) > UNIFORM:
            return None, ""
        sees = bool(np.nanmax(log.get("explained_variance")[start:], initial=-1.0) > SEES)
        # a bonus that is heavy holds the policy by itself, so that nothing moves any more
        trained = median(log.get("approx_kl")) > MOVES
        trained |= present(log, KEY) > HEAVY and ordinary_rate(log)
        if not trained or not (sees or median(late) > ALL):
            return None, ""
        if rises(log) and self._fades(late):
            return None, ""
        level = number(100 * median(late))
        return start, f"entropy is {level} % of its maximum after {len(log)} batches"
