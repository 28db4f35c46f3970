"""Inputs off scale: features saturate, and an ordinary step is a jump for some states."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._critic import left
from ppo.insight.rules._policy import clip_range, ordinary_rate
from ppo.insight.rules._returns import begins_late, rises
from ppo.insight.rules._signs import first_finite, known, lasting, median
from ppo.insight.rules._solved import keeps

OUTLIERS = 0.01  # share of entries beyond ten standard deviations (S: the clip of VecNormalize)
RATIO = 100.0  # raw std of the largest dimension over that of the smallest (J)
SATURATED = 0.5  # share of tanh units (J)
# From a log without figures on inputs, what saturation does to the rest (M, weak):
LONG = 20  # batches
JUMP = 0.025  # KL at an ordinary rate
FAR_JUMP, CLIPPED = 0.08, 0.35  # KL, clip fraction: too high though the return rises (M)
ROUGH = (0.08, 0.6)  # root of the unexplained share at which the critic then stays
DEAD_FEATURES = 1e-4  # explained variance of a critic whose features are constant
NOTHING = 1e-6  # likewise of one value for all states, in 32 bits (M)
NEXT_TO_NOTHING = 5e-3  # beside a policy as uniform as at the start (M: 1.7e-3, a heavy bonus 0.04)
TRAINED = 1e-4  # KL of a policy that an update moves (J)
SAW = 0.5  # at its best before, of one that inputs have not kept from seeing (J)
OFFSET_LEARNED = 0.7  # of its first root error
ERRATIC = 0.55  # median change of log10 KL from batch to batch
TRACES_EXPLAIN = ("critic_blind", "learning_rate_too_high", "learning_rate_too_low")
TORN = 1.0  # KL of one of the first batches that no modest rate gives (M: 4 to 1e6)
AT_FIRST = 2  # batches: it may be torn later, by steps that add up (M: from the seventh on)
MODEST = 1e-3  # learning rate (J)
FREE, MANY = 0.5, 40  # clip range, epochs: beyond them a policy goes far by itself (J)
SHARP = 0.2  # std of a policy that steps of an ordinary size tear as well (J)
UNMOVED = 0.03  # change of the policy's std or relative entropy
QUIET = 1.5e-3  # KL, while it is erratic
CHANGES = (
    Change("env.normalize_observations", "true"),
    Change("env.observation_scale", "tails", "for entries that are seldom large"),
    Change("env.squash_observations", "symlog", "for entries over many magnitudes"),
    Change("ppo.learning_rate", "", "a third, if neither is possible", times=1 / 3),
)


@rule("observations_unnormalized")
class ObservationsUnnormalized(Rule):
    number = 17
    waits = 10
    needs = (
        ("obs_outlier_share",),
        ("obs_std_ratio",),
        ("saturated_units",),
        ("explained_variance", "approx_kl"),
    )
    explains = (
        "critic_blind", "dead_units", "gradients_always_clipped", "learning_rate_too_high",
        "learning_rate_too_low", "entropy_collapse",
    )  # fmt: skip
    sources = ("VecNormalize clips at 10", "Andrychowicz et al. 2021, C64")

    def check(self, log: MetricsLog) -> Finding | None:
        if log.setting("env.normalize_observations") is True:
            return None
        figures = ("obs_outlier_share", "obs_std_ratio", "saturated_units")
        if any(log.has(name) for name in figures):
            found = self._by_inputs(log)
            off = log.setting("env.normalize_observations") is False
            return found or (self._by_a_constant_critic(log) if off else None)
        for sign in (self._by_a_constant_critic, self._by_a_torn_policy):
            if (found := sign(log)) is not None:
                return found
        return self._by_traces(log) if log.writer == "stable-baselines3" else None

    def _by_inputs(self, log: MetricsLog) -> Finding | None:
        signs = (
            (
                "obs_outlier_share",
                OUTLIERS,
                100.0,
                "{} % of the entries beyond ten standard deviations",
            ),
            ("obs_std_ratio", RATIO, 1.0, "deviations of the dimensions differ {} times"),
            ("saturated_units", SATURATED, 100.0, "{} % of the units saturated"),
        )
        rows, parts = [], []
        for name, limit, factor, words in signs:
            column = log.get(name)
            row = lasting(column > limit, 4, 5, share=0.5)
            if name == "saturated_units" and not first_finite(column) > limit:
                continue  # training saturates units too (M: to 0.99 in healthy runs)
            if name == "obs_outlier_share" and log.setting("network.layer_norm") and rises(log):
                continue  # it takes a common scale away again (M: CartPole times 1e4 is learned)
            if name == "obs_std_ratio" and log.setting("env.normalize_observations") is not False:
                continue  # of the raw observations
            if row is not None:
                rows.append(row)
                parts.append(words.format(number(factor * median(column[row:]))))
        if not rows:
            return None
        return self.found(log, min(rows), "; ".join(parts), CHANGES, 0.9, SEVERE)

    def _by_a_constant_critic(self, log: MetricsLog) -> Finding | None:
        """From the first batch on one value for every state, though the policy is trained."""
        rows, variance = known(np.abs(log.get("explained_variance")))
        kl = np.abs(log.get("approx_kl"))
        moves = median(kl[: max(len(kl) // 2, LONG)])  # the end of a schedule moves nothing
        if len(variance) < LONG or not moves > TRAINED or rises(log) or not ordinary_rate(log):
            return None
        largest = float(np.max(variance, initial=0.0))
        exactly = 0 < largest < NOTHING  # what is always 0 is not measured
        if not exactly and (self._moved(log) or not 0 < largest < NEXT_TO_NOTHING):
            return None
        evidence = f"explained variance within {number(largest)} of 0 in {len(variance)} batches"
        evidence += f", though KL is {number(moves)}: all states look alike to the networks"
        look = "look for an entry of the observation that is huge and constant, or for tiny ones"
        changes = [CHANGES[0], Change("", "", look)]
        sure = 0.97 if exactly else 0.65
        more = ("entropy_coefficient_too_high", "no_reward_signal", "policy_collapse")
        explained = (*TRACES_EXPLAIN, *more)
        return self.found(log, int(rows[0]), evidence, changes, sure, SEVERE, explained)

    def _by_a_torn_policy(self, log: MetricsLog) -> Finding | None:
        """A first step that leaves nothing of the policy, though all that sets its size is modest:
        features are large."""
        kl = log.get("approx_kl")
        torn = np.flatnonzero(kl[: max(int(AT_FIRST / log.per_row), 1)] > TORN)
        free = clip_range(log) > FREE or log.number("ppo.num_epochs") >= MANY
        sharp = first_finite(log.get("policy_std")) < SHARP
        if not len(torn) or free or sharp or begins_late(log) or rises(log) or keeps(log):
            return None
        rate = float(log.get("learning_rate")[torn[0]])
        if not rate <= MODEST:
            return None
        evidence = f"KL {number(float(kl[torn[0]]))} in batch {log.batch(int(torn[0]))}, "
        evidence += f"at a learning rate of {number(rate)} that moves no policy as far"
        more = ("policy_collapse", "reward_scale_too_large", "too_many_epochs")
        explained = (*self.explains, *more, "no_reward_signal")
        return self.found(log, int(torn[0]), evidence, CHANGES, 0.98, SEVERE, explained)

    def _by_traces(self, log: MetricsLog) -> Finding | None:
        seen = log.has("mean_episode_return") and not begins_late(log)
        if not ordinary_rate(log) or not seen:
            return None  # a return that rises would refute all of them
        for trace in (self._jumps, self._constant, self._erratic):
            row, evidence = trace(log)
            if row is not None:
                evidence += " at an ordinary learning rate (weak: no figures on inputs in this log)"
                return self.found(log, row, evidence, CHANGES, 0.4, SEVERE, TRACES_EXPLAIN)
        return None

    def _jumps(self, log: MetricsLog) -> tuple[int | None, str]:
        """KL too high in spite of an ordinary rate, and a critic that stays rough."""
        if len(log) < LONG:
            return None, ""
        kl = log.get("approx_kl")
        rough = np.sqrt(np.clip(1 - log.get("explained_variance"), 0, None))
        late = median(rough[len(log) // 2 :])
        jumps = kl > JUMP
        jumps[: len(log) // 2] = False  # early jumps have other causes
        row = lasting(jumps, 4, 5, share=0.1)
        if row is None or not ROUGH[0] < late < ROUGH[1]:
            return None, ""
        recent = slice(-(len(log) // 3), None)
        far = median(kl[recent]) > FAR_JUMP or median(log.get("clip_fraction")[recent]) > CLIPPED
        if rises(log) and not far:
            return None, ""
        evidence = f"KL {number(median(kl[row:]))}, {number(100 * late)} % of the std unexplained"
        return row, evidence

    def _constant(self, log: MetricsLog) -> tuple[int | None, str]:
        """The critic learns the mean of the returns and nothing else."""
        variance = log.get("explained_variance")
        row = lasting(np.abs(variance) < DEAD_FEATURES, 8, 10)
        if row is None or rises(log):
            return None, ""
        if np.nanmax(variance[:row], initial=-np.inf) > SAW:
            return None, ""  # something else broke it
        if not 0.02 < left(log.get("value_rmse")) < OFFSET_LEARNED:
            return None, ""
        return row, "the critic learns the returns' mean only: its features are constant"

    def _erratic(self, log: MetricsLog) -> tuple[int | None, str]:
        """Most batches do not move the policy, single ones do: a saturated network."""
        kl = np.abs(log.get("approx_kl"))
        kl = kl[np.isfinite(kl)]
        if len(kl) < 20 or not 1e-5 < median(kl) < QUIET:
            return None, ""
        change = median(np.abs(np.diff(np.log10(kl + 1e-8))))
        if change < ERRATIC or self._moved(log):
            return None, ""
        return 1, f"KL changes {number(10**change)} times from batch to batch"

    def _moved(self, log: MetricsLog) -> bool:
        """Whether the policy's spread changed since the start, as that of one that learns does."""
        spread = log.get("policy_std" if log.has("policy_std") else "entropy_relative")
        first = first_finite(spread)
        return not abs(median(spread[-5:]) / first - 1) < UNMOVED
