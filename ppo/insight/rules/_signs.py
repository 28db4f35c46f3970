"""Signs that several rules look for in a log: where a condition begins, if it lasts, what rises.

No rule stands here, so that `__init__` holds what a rule is and each other file one illness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ppo.insight.logs.log import UNKNOWN, Column, MetricsLog
from ppo.insight.rules._noise import ROUGH, drift, is_rough, noise_of

SMOOTHED = 9.0  # rows of such a mean, where the log does not tell (J)
OVER = 100  # episodes, the last of which such a return is a mean of (S)
UNTOLD = (UNKNOWN, "rsl_rl", "skrl")  # writers of whose returns and steps that is not known (S)
WINDOWED = ("stable-baselines3", "rllib", "rl_games")  # writers of such returns (S)
LATE = 6  # batches that say where critic and policy have come to
LAST = 3  # returns that say whether the end is still up
SLIGHT = 0.02  # of a return that most first batches share, by which chance raises it (J)
QUICK = 6.0  # spreads of the later returns, by which the first is below them (J)
LEANS = 3.0  # standard errors of a return that rises rather than not (J)
FALLS = 6.0  # standard errors by which the last sixth is below the first (J)
FEW = 2  # returns of a sixth, in which neighbours show no noise
RISES = 5.0  # standard errors by which the last quarter's return must exceed the first's (J)
LITTLE = 0.01  # of what was won, by which the end of a run may be below its best (J)
DIPPED = 10.0  # spreads of the last quarter's returns, by which one of the first is below (J)
ALIKE = 1e-3  # largest std of the return over its mean in a task that is solved (J)
JUMP = 10.0  # times all that came before, in std or root error (J)
FALL_BACK = 3  # batches within which it must have passed
HISTORY = 3  # batches before the first jump that can be judged
ORDINARY_RATE = (1e-5, 2e-3)  # learning rates that PPO is commonly run with (J)
NARROWEST = 2  # units of a layer through which hardly anything passes (M: CartPole learns with 4)
HARDER = 0.1  # of the range of a curriculum's levels, that tells a step from its noise (J)
MISSING = 5.0  # batches that a log must lack at its start to be called a part of one (J)
SEES = 0.8  # explained variance of a critic that knows what it is trained on (J)
SURER = 0.8  # of its first spread, below which a policy has made up its mind (J)
SIGN = "look at the sign of the reward, and at what is done to it after the return is recorded"
FROZEN = 1e-5  # KL below which no rise of the return is the policy's doing (J)
USUAL_CLIP = 0.5  # of gradients (S: Stable-Baselines3)
ROUNDING = 1e-6  # of a KL that is 0 (J)
NARROW_CLIP = 0.05  # clip range, a quarter of the usual, that small steps leave too (J)


def present(log: MetricsLog, key: str) -> float:
    """The value of a numeric setting in force: as set, else the median logged, else NaN."""
    told = log.number(key)
    _, logged = known(log.get(key.rpartition(".")[2]))
    return told if np.isfinite(told) or not len(logged) else float(np.median(logged))


def onset(mask: NDArray[np.bool_], k: int, n: int) -> int | None:
    """First row of the first stretch of n rows of which k are marked, itself marked."""
    if len(mask) < n:
        return None
    counts = np.convolve(mask.astype(np.int64), np.ones(n, dtype=np.int64))[n - 1 : len(mask)]
    rows = np.flatnonzero(counts >= k)
    if not len(rows):
        return None
    window = np.flatnonzero(mask[rows[0] : rows[0] + n])
    return int(rows[0] + window[0])


def lasting(mask: NDArray[np.bool_], k: int, n: int, share: float = 0.0) -> int | None:
    """As `onset`, for a condition that still holds or that held for `share` of the run."""
    row = onset(mask, k, n)
    if row is None:
        return None
    now = int(mask[-n:].sum()) >= k
    return row if now or (share > 0 and float(mask.mean()) >= share) else None


def median(column: Column) -> float:
    """Median of the finite values, NaN where there are none."""
    _, finite = known(column)
    return float(np.median(finite)) if len(finite) else float("nan")


def spikes(scale: Column) -> list[int]:
    """Rows that exceed all earlier ordinary rows by JUMP and are followed by an ordinary row."""
    rows = np.flatnonzero(np.isfinite(scale) & (scale > 0))
    spikes: list[int] = []
    largest, seen = 0.0, 0
    for place, row in enumerate(rows):
        value = float(scale[row])
        following = scale[rows[place + 1 : place + 1 + FALL_BACK]]
        if seen >= HISTORY and value > JUMP * largest:
            if len(following) == 0 or float(following.min()) < value / JUMP:
                spikes.append(int(row))
                continue
        largest, seen = max(largest, value), seen + 1
    return spikes


def first_finite(column: Column) -> float:
    """The first finite value, or NaN."""
    _, finite = known(column)
    return float(finite[0]) if len(finite) else float("nan")


def known(column: Column) -> tuple[NDArray[np.int64], Column]:
    """Rows and values where the column is finite."""
    rows = np.flatnonzero(np.isfinite(column))
    return rows, column[rows]


def window(log: MetricsLog) -> float:
    """Rows whose episodes a return is the mean of: as the writer has it, else as the curve shows.

    Some writers log the mean of the last OVER episodes, of which fewer mostly end in a batch.
    """
    if log.writer in WINDOWED and not np.array_equal(
        log.get("mean_episode_return"), log.get("evaluation_return"), equal_nan=True
    ):
        ended = log.per_row * median(log.batch_steps()[1:]) / median(log.get("mean_episode_length"))
        smooth = log.writer == WINDOWED[0] and not is_rough(log.returns(), ROUGH)
        untold = SMOOTHED if smooth else 1.0
        rows = OVER / max(ended, 1e-300) if np.isfinite(ended) else untold
        return float(max(rows, 1.0))
    return drift(log.returns()) if log.writer in UNTOLD else 1.0


def batch_noise(log: MetricsLog) -> float:
    """Standard deviation of a batch's return by chance, also where what is logged is a mean over
    many."""
    return noise_of(log.returns(), window(log), begins_late(log))


def gain(log: MetricsLog) -> float:
    """Rise of the episode return from the first to the last quarter, in standard errors.

    Unit-free: the noise is that of the differences between neighbouring batches. NaN where fewer
    than eight batches have a return.
    """
    returns = log.returns()
    if len(returns) < 8:
        return float("nan")
    early, late = _quarters(returns)
    rise = float(np.mean(late) - np.mean(early)) * np.sqrt(len(early))
    spread = max(batch_noise(log), 1e-9 * float(np.max(np.abs(returns))))
    return rise / spread if spread else 0.0


def _quarters(returns: Column) -> tuple[Column, Column]:
    """The first and the last quarter of the returns, at least two of each."""
    quarter = max(len(returns) // 4, 2)
    return returns[:quarter], returns[-quarter:]


def rises(log: MetricsLog) -> bool:
    """Whether the episode return clearly rises over the log, and is still up at its end.

    False where none is logged.
    """
    return bool(gain(log) > RISES and not _gone(log) and not lucky(log)) or settled(log)


def leans(log: MetricsLog) -> bool:
    """Whether the episode return rises rather than not; also of returns too few for `rises`."""
    returns = log.returns()
    if len(returns) < 8:
        return len(returns) > 1 and bool(returns[-1] > returns[0])
    early, late = _quarters(returns)
    higher = np.median(late) > np.max(early) and not lucky(log)
    return settled(log) or bool(higher and gain(log) > LEANS and not _gone(log))


def at_once(log: MetricsLog) -> bool:
    """Whether the first return is far below all that follow: a batch or two were enough."""
    returns = log.returns()
    rest = returns[LAST:]
    if len(rest) < LAST:
        return False
    won = float(np.median(rest)) - returns[0]
    spread = np.std(rest) * min(np.sqrt(window(log)), 3.0)
    return bool(returns[0] < rest.min() and won > QUICK * spread)


def lucky(log: MetricsLog) -> bool:
    """Whether the return left its floor, that of most first batches, by next to nothing: a few
    episodes among many ended otherwise."""
    early, late = _quarters(log.returns())
    floor = median(early)
    won = float(np.mean(late)) - floor
    return bool(floor == np.min(early) and 0 <= won < SLIGHT * abs(floor))


def _gone(log: MetricsLog) -> bool:
    """Whether the last returns are below those of the first quarter: whatever was won is lost."""
    returns = log.returns()
    return bool(np.median(returns[-LAST:]) < np.mean(_quarters(returns)[0]))


def falls(log: MetricsLog) -> bool:
    """Whether every return of the last sixth is clearly below those of the first.

    Noise is that of neighbours within the two, so that the fall itself is none.
    """
    returns = log.returns()
    part = len(returns) // 6
    if part < FEW:
        return False
    early, late = returns[:part], returns[-part:]
    noise = np.sqrt((np.var(np.diff(early)) + np.var(np.diff(late))) / 4)
    noise = batch_noise(log) if window(log) > 1 or part == FEW else noise
    fall = float(np.mean(early) - np.mean(late))
    spread = max(noise / np.sqrt(part), 1e-3 * abs(float(np.mean(early))))
    return bool(fall > FALLS * spread and late.max() < early.min())


def opposed(log: MetricsLog) -> bool:
    """Whether the return falls, though the critic sees its targets and the policy grows surer."""
    spread = log.get("policy_std" if log.has("policy_std") else "entropy_relative")
    sees = median(log.get("explained_variance")[-LATE:]) > SEES
    return falls(log) and sees and bool(median(spread[-LATE:]) < SURER * first_finite(spread))


def settled(log: MetricsLog) -> bool:
    """Whether the last quarter's returns are steady, the best, and above some of the first's."""
    returns = log.returns()
    if len(returns) < 8:
        return False
    early, late = _quarters(returns)
    before = returns[: -len(late)]
    level, spread = float(np.median(late)), float(np.std(late))
    won = level - float(np.min(early))
    near = 2 * spread  # level returns have a tenth 1.3 above
    if window(log) > 1:  # late ones drift together, and early ones are means of few episodes
        near, spread = spread, max(spread, batch_noise(log) * RISES / DIPPED)
    best = level >= float(np.quantile(before, 0.9)) - max(near, LITTLE * won)
    return best and won > DIPPED * spread


def logged_or_set(log: MetricsLog, column: str, key: str) -> float:
    """A figure as logged, in the median, else as set; NaN where neither is known."""
    logged = median(log.get(column))
    return logged if np.isfinite(logged) else log.number(key)


def ordinary_rate(log: MetricsLog) -> bool:
    """Whether the learning rate is in the common range, or not known."""
    rate = median(log.get("learning_rate"))
    return not np.isfinite(rate) or ORDINARY_RATE[0] <= rate <= ORDINARY_RATE[1]


def cut(log: MetricsLog) -> Column:
    """Length of the gradients over the clip, over the usual one where it is narrower: that one
    cuts every step alike, and Adam makes up for it (M: CartPole learns as well at 0.01)."""
    factor, clip = log.get("grad_clip_factor"), log.number("ppo.max_grad_norm")
    if not log.has("grad_clip_factor"):
        factor = log.get("grad_norm") / clip
    return factor * (clip / USUAL_CLIP if clip < USUAL_CLIP else 1.0)


def one_step(log: MetricsLog) -> bool:
    """Whether a batch is one gradient step, before which KL and clip fraction are 0 whatever it
    does; also where only the number of epochs is known, and KL is nothing at an ordinary rate."""
    epochs, parts = log.number("ppo.num_epochs"), log.number("ppo.num_minibatches")
    nothing = not bool((np.abs(log.get("approx_kl")) > ROUNDING).any()) and ordinary_rate(log)
    return epochs == 1 and (parts == 1 or (bool(np.isnan(parts)) and nothing))


def clip_range(log: MetricsLog) -> float:
    """The policy's clip range, as logged or as set; NaN where neither is known."""
    return logged_or_set(log, "clip_range", "ppo.clip_epsilon")


def begins_late(log: MetricsLog) -> bool:
    """Whether the log lacks the policy's beginning: its first steps are far more than those of a
    batch, or the policy was trained before."""
    if log.setting("train.initial_policy"):
        return True
    _, steps = known(log.get("env_steps"))
    if not len(steps):
        steps = log.batches.astype(np.float64)  # where the axis counts them
    return len(steps) > 1 and bool(steps[0] > MISSING * median(np.diff(steps)))


def bottleneck(log: MetricsLog) -> int:
    """Units of the narrowest layer, where so few that hardly anything passes it; else 0."""
    told = log.setting("network.hidden_sizes")
    sizes = [size for size in told if isinstance(size, int)] if isinstance(told, list) else []
    return min(sizes, default=0) if min(sizes, default=NARROWEST + 1) <= NARROWEST else 0


def harder(log: MetricsLog, since: int) -> bool:
    """Whether the task is a harder one now than at a row: a curriculum went on since."""
    rows, level = known(log.get("task_level"))
    before = level[rows <= since]
    if not len(before):
        return False
    return bool(median(level[-LAST:]) - before[-1] > HARDER * max(float(np.ptp(level)), 1e-300))
