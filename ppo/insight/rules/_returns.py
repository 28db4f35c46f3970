"""What the return of a run does, and how much of it is chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ppo.insight.logs.log import UNKNOWN, Column, MetricsLog
from ppo.insight.rules._signs import first_finite, known, median

SMOOTHED = 9.0  # rows of such a mean, where the log does not tell (J)
OVER = 100  # episodes, the last of which such a return is a mean of (S)
UNTOLD = (UNKNOWN, "rsl_rl", "skrl")  # writers of whose returns and steps that is not known (S)
WINDOWED = ("stable-baselines3", "rllib", "rl_games")  # writers of such returns (S)
LATE = 6  # batches that say where critic and policy have come to
LAST = 3  # returns that say whether the end is still up
SLIGHT = 0.02  # of a return that most first batches share, by which chance raises it (J)
QUICK = 6.0  # spreads of the later returns, by which the first is below them (J)
LEANS = 2.1  # standard errors of a return that rises rather than not (J)
FALLS = 6.0  # standard errors by which the last sixth is below the first (J)
FIRST = 3  # returns of a start that is soon left (J)
FEW = 2  # returns of a sixth, in which neighbours show no noise
RISES = 3.5  # standard errors by which the last quarter's return must exceed the first's (J)
LITTLE = 0.01  # of what was won, by which the end of a run may be below its best (J)
DIPPED = 10.0  # spreads of the last quarter's returns, by which one of the first is below (J)
LEAST_SPREAD = 0.5  # of a batch's noise, that of such returns where they are means over many (J)
ALIKE = 1e-3  # largest std of the return over its mean in a task that is solved (J)
HARDER = 0.1  # of the range of a curriculum's levels, that tells a step from its noise (J)
MISSING = 5.0  # batches that a log must lack at its start to be called a part of one (J)
SEES = 0.8  # explained variance of a critic that knows what it is trained on (J)
SAW = 0.5  # the same in a first batch, before which a critic that starts has seen nothing (J)
SURE = 0.9  # relative entropy of the first batch of a policy that was trained before (J)
NARROW = 0.05  # policy std in action units, below which it was set so (J; not unit-free)
SURER = 0.8  # of its first spread, below which a policy has made up its mind (J)
SIGN = "look at the sign of the reward, and at what is done to it after the return is recorded"
OUTSIDE = "look what changes in the environment while training goes on"
LEAST = 60  # returns, in which a drift can be told from noise (J)
NEIGHBOURS, ROUGH = -0.58, -0.63  # correlation of neighbouring bends: -2/3 for noise, -1/2 for a
# drift (S); below the second it is hardly ever one
LEAP = 3.0  # times the usual bend; what is larger is neither (J)
ROWS = 4  # over which a drift bends twice as much as from row to row (S)
LONGEST = 8  # times these rows that a curve must have (J)
BEND, NORMAL = 0.8, 1.2816  # quantile of the size of bends, and that of normal ones (S)


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
    rows = len(log.returns())
    if rows < 8:
        return float("nan")
    quarter = len(_quarters(log.returns())[0])
    return highest(log, [(slice(quarter), slice(rows - quarter, rows))])


def highest(log: MetricsLog, parts: Sequence[tuple[slice, slice]]) -> float:
    """The largest rise from a part of the returns to a later one, in its own standard error.

    Means over many batches share what they are means of, so that a part of many rows is less
    sure than so many batches, and one of few rows surer: each batch counts by all that hold it.
    """
    returns = log.returns()
    weights = np.zeros((len(parts), len(returns)))
    for row, (before, after) in zip(weights, parts, strict=True):
        row[before] -= 1 / len(returns[before])
        row[after] += 1 / len(returns[after])
    rise = weights @ returns
    if (rows := window(log)) > 1:
        weights = _by_batch(weights, returns, rows, begins_late(log))
    error = batch_noise(log) * np.sqrt(np.sum(weights**2, axis=1))
    least = 1e-9 * float(np.max(np.abs(returns))) + np.finfo(np.float64).tiny
    return float(np.max(rise / np.maximum(error, least)))


def _by_batch(weights: Column, returns: Column, rows: float, late: bool) -> Column:
    """Weights of batches, of those of means over `rows` batches each; [sums, rows] both."""
    ended = np.flatnonzero(_moved(returns))
    weights = np.add.reduceat(weights, ended, axis=1)
    rows = max(rows * len(ended) / len(returns), 1.0)
    reach = min(round(rows), len(ended))
    held = weights / np.minimum(np.arange(len(ended)) + (rows if late else 1.0), rows)
    later = np.cumsum(held[:, ::-1], axis=1)[:, ::-1]
    of_log = later - np.pad(later, ((0, 0), (0, reach)))[:, reach:]
    earlier = np.cumsum(held, axis=1)[:, : reach - 1 if late else 0]  # batches before the log
    return np.hstack([earlier, of_log])


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


def fell(log: MetricsLog) -> bool:
    """Whether the return is clearly below that of the first sixth, or of its first batches."""
    rows = len(log.returns())
    if falls(log) or log.writer in UNTOLD or rows < 2 * FIRST:
        return falls(log)
    parts = [(slice(cut, rows), slice(cut)) for cut in range(FIRST, max(rows // 6, FIRST) + 1)]
    return highest(log, parts) > FALLS


def surer(log: MetricsLog) -> bool:
    """Whether the policy has grown surer, as far as is known."""
    spread = log.get("policy_std" if log.has("policy_std") else "entropy_relative")
    return not median(spread[-LATE:]) >= SURER * first_finite(spread)


def opposed(log: MetricsLog) -> bool:
    """Whether the return falls, though the critic sees its targets and the policy grows surer."""
    known_spread = log.has("policy_std") or log.has("entropy_relative")
    sees = median(log.get("explained_variance")[-LATE:]) > SEES
    return sees and known_spread and surer(log) and fell(log)


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
        near, spread = spread, max(spread, batch_noise(log) * LEAST_SPREAD)
    best = level >= float(np.quantile(before, 0.9)) - max(near, LITTLE * won)
    return best and won > DIPPED * spread


def begins_late(log: MetricsLog) -> bool:
    """Whether the log lacks the policy's beginning: its first steps are far more than those of a
    batch, or the policy was trained before."""
    if log.setting("train.initial_policy") or trained_before(log):
        return True
    _, steps = known(log.steps())
    return len(steps) > 1 and bool(steps[0] > MISSING * median(np.diff(steps)))


def trained_before(log: MetricsLog) -> bool:
    """Whether the first batch shows a policy that is surer than one that starts, and a critic that
    sees: one of the two alone may be set so, or come by chance."""
    sees = first_finite(log.get("explained_variance")) > SAW
    sure = starts_sure(log, SURER) or NARROW <= first_finite(log.get("policy_std")) < SURER
    return log.writer != "ppo" and sees and sure


def starts_sure(log: MetricsLog, below: float = SURE) -> bool:
    """Whether a policy that chooses is surer in the first batch than one that starts.

    Of choices whose number is not told, it is surer than one of two that is fair.
    """
    if log.has("entropy_relative") or log.has("policy_std"):
        return first_finite(log.get("entropy_relative")) < below
    return 0 <= first_finite(log.get("entropy")) < below * np.log(2)


def harder(log: MetricsLog, since: int) -> bool:
    """Whether the task is a harder one now than at a row: a curriculum went on since."""
    rows, level = known(log.get("task_level"))
    before = level[rows <= since]
    if not len(before):
        return False
    return bool(median(level[-LAST:]) - before[-1] > HARDER * max(float(np.ptp(level)), 1e-300))


def noise_of(returns: Column, rows: float, late: bool = False) -> float:
    """Standard deviation of a batch's return by chance, of a curve of means over `rows` batches.

    Such a mean moves by a batch's share of it, and bends whether it rises or not.

    Args:
        late: the curve does not begin with means of few episodes.
    """
    if rows == 1:
        return float(np.std(np.diff(returns))) / np.sqrt(2)
    moved = returns[_moved(returns)]
    if len(moved) < 3:
        return 0.0
    rows = max(rows * len(moved) / len(returns), 1.0)
    batches = np.arange(len(moved) - 1) + (rows if late else 1.0)
    bends = np.abs(np.diff(np.diff(moved) * np.minimum(batches, rows)))
    bends /= np.where(batches[1:] < rows, np.sqrt(2), 2)  # what enters, and what leaves again
    return float(np.quantile(bends, BEND)) / NORMAL  # a crash is among few


def _moved(returns: Column) -> NDArray[np.bool_]:
    """Rows in which an episode has ended: a mean over many moves with each."""
    return np.append(True, np.diff(returns) != 0)


def drift(returns: Column) -> float:
    """Rows over which a curve drifts as a mean of many does: 1 for noise, whether it rises or not.

    The bends of a drift are larger over more rows.
    """
    if len(returns) < LEAST:
        return 1.0
    if is_rough(returns) or not _drifts(returns, 1, ROWS):
        return 1.0
    rows = ROWS
    while LONGEST * rows <= len(returns) and _drifts(returns, rows, 2 * rows):
        rows *= 2
    return 2.0 * rows


def is_rough(returns: Column, correlation: float = NEIGHBOURS) -> bool:
    """Whether neighbouring bends are those of noise, in a curve that is long enough to tell."""
    if len(returns) < LEAST:
        return False
    limit = LEAP * _bend(returns, 1)
    bends = np.clip(np.diff(returns, 2), -limit, limit)
    return bool(np.mean(bends[1:] * bends[:-1]) <= correlation * np.mean(bends**2))


def _drifts(returns: Column, few: int, many: int) -> bool:
    """Whether bends grow with the rows as those of a drift do, by the root of their ratio: those of
    noise do not, those of a course by its square."""
    grows = _bend(returns, many) / max(_bend(returns, few), 1e-300)
    return bool((many / few) ** 0.25 < grows < (many / few) ** 0.85)


def _bend(returns: Column, rows: int) -> float:
    """Usual size of the bends of a curve over some rows."""
    bends = returns[2 * rows :] - 2 * returns[rows:-rows] + returns[: -2 * rows]
    return float(np.median(np.abs(bends)))
