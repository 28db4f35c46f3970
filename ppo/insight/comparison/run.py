"""Summary of one run for a comparison: settings, figures, steadiness and findings."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppo.config import PPOConfig
from ppo.config.automatic import as_asked
from ppo.config.units import value_loss_unit
from ppo.core.cores import num_cores
from ppo.core.figures import written
from ppo.core.metrics import Better, compared
from ppo.insight.comparison.relevant import relevant
from ppo.insight.comparison.statistics import area
from ppo.insight.doctor import diagnose
from ppo.insight.logs import OWN_LOG, MetricsLog, from_records, read_log
from ppo.insight.logs.log import Column
from ppo.insight.logs.own import read_settings, read_summary, read_thin
from ppo.insight.rules import Finding
from ppo.runs.folder import RunFolder

WHOLE = ("mean_episode_return", "env_steps", "wall_time_s")  # read of every batch of a long run
MANY = 24  # runs from which on they are read in several processes
SHOCK = 0.5  # fall of explained variance from one batch to the next that counts as a value shock
NOISY = 5  # batches, at least, whose spread is called noise
RECOVERED = 0.8  # of the explained variance before the shock


@dataclass
class Figures:
    """One metric of one run.

    `final` is the mean of the last tenth, `noise` the standard deviation of its batches (of five
    at least), `auc` the mean height.
    """

    first: float = float("nan")
    best: float = float("nan")
    last: float = float("nan")
    final: float = float("nan")
    auc: float = float("nan")
    noise: float = float("nan")


@dataclass
class Run:
    """A run as far as comparing needs it."""

    name: str
    path: str
    writer: str
    settings: dict[str, Any]
    status: str  # as in summary.json, or killed; empty where nothing tells it
    batches: int
    seed: int | None
    log: MetricsLog
    figures: dict[str, Figures]
    findings: list[Finding]
    version: str
    time: dict[str, float]
    stability: dict[str, float]
    whole: MetricsLog  # WHOLE of every batch, where it could be read of a thinned run
    note: str = ""
    parts: tuple[str, ...] = ()  # what the batches before a resume were trained with otherwise

    @property
    def value_loss_unit(self) -> str:
        """What its value loss is measured in."""
        if self.writer != "ppo":
            return "the unit of its library"
        ppo = {key[4:]: value for key, value in self.settings.items() if key.startswith("ppo.")}
        return value_loss_unit(PPOConfig.model_construct(**ppo))


def load_runs(paths: list[Path]) -> list[Run]:
    """The runs in the order of their paths, read side by side where there are many."""
    workers = min(num_cores(), 8)
    if len(paths) < MANY or workers == 1:
        return [load_run(path) for path in paths]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(load_run, paths, chunksize=4))


@np.errstate(over="ignore", invalid="ignore")  # figures of a run that diverged
def load_run(path: Path, findings: list[Finding] | None = None) -> Run:
    """One run folder, or a log of another library; `findings` where they are known already."""
    status = ""
    if (path / OWN_LOG).exists():
        thin = read_thin(path / OWN_LOG, WHOLE)
        settings, summary = read_settings(path), read_summary(path)
        whole = log = from_records(thin.records, settings)
        status = RunFolder(path).status() if summary else ""
        length = thin.length
        if thin.columns:
            whole = MetricsLog(thin.columns, np.arange(length, dtype=np.int64))
        note = f"every {thin.every}th of {length} batches read" if thin.every > 1 else ""
    else:
        whole = log = read_log(path)
        length, summary, note = len(log), {}, ""
    seed = log.settings.get("system.seed")
    git = summary.get("git")
    time = summary.get("time")
    return Run(
        name=path.resolve().name,
        path=str(path),
        writer=log.writer,
        settings=as_asked(log.settings),
        status=status,
        batches=length,
        seed=seed if isinstance(seed, int) else None,
        log=log,
        figures=_all_figures(log, whole),
        findings=diagnose(log) if findings is None else findings,
        version=str(git.get("commit", ""))[:10] if isinstance(git, dict) else "",
        time={str(k): float(v) for k, v in time.items() if isinstance(v, int | float)}
        if isinstance(time, dict)
        else {},
        stability=stability(log, whole, len(log) < length),
        whole=whole,
        note=note,
        parts=former_parts(path, log.settings),
    )


def former_parts(path: Path, settings: dict[str, Any]) -> tuple[str, ...]:
    """A line for each part of a run that learned by other settings than its last one.

    Args:
        path: of a run folder, whose `config.batch0014.yaml` keeps those of the batches before 14.
        settings: of the last part, dotted.
    """
    parts, last = [], relevant(settings)
    for file in sorted(path.glob("config.batch*.yaml")) if path.is_dir() else ():
        batch, former = file.stem.removeprefix("config.batch"), read_settings(path, file.name)
        before = relevant(former)
        known = set(map(_setting, before))  # a file of an earlier version lacks those of later ones
        changed = [
            f"{key} {written(former.get(key))}"
            for key in last
            if _setting(key) in known
            and before.get(key) != last[key]
            and not key.startswith("auto.")  # the list of what was chosen is no setting of a run
        ]
        if batch.isdigit() and changed:
            parts.append(f"before batch {int(batch)}: {', '.join(changed)}")
    return tuple(parts)


def _setting(key: str) -> str:
    """The setting that a dotted key is of, which may be an entry of its value."""
    return ".".join(key.split(".")[:2])


def _all_figures(log: MetricsLog, whole: MetricsLog) -> dict[str, Figures]:
    found = {}
    for metric in compared():
        of = whole if metric.name in WHOLE else log
        values = of.get(metric.name)
        if np.isfinite(values).any():
            found[metric.name] = figures(of.steps(), values, metric.better)
    return found


def figures(steps: Column, values: Column, better: Better) -> Figures:
    """First, best, last, mean of the last tenth and area of one curve; NaN are left out."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Figures()
    best = {"higher": finite.max(), "lower": finite.min(), "none": np.nan}[better]
    tenth, noisy = (finite[-max(len(finite) // 10, least) :] for least in (1, NOISY))
    return Figures(
        float(finite[0]),
        float(best),
        float(finite[-1]),
        float(tenth.mean()),
        area(steps, values),
        float(noisy.std(ddof=1)) if len(noisy) > 1 else float("nan"),
    )


def stability(log: MetricsLog, whole: MetricsLog, thinned: bool) -> dict[str, float]:
    """How steady a run was, in figures without a unit.

    Shocks are falls from one batch to the next, so a thinned run has none that can be counted.
    """
    found: dict[str, float] = {}
    variance = log.get("explained_variance")
    steps = log.get("env_steps")
    seen = np.isfinite(variance)
    if seen.any():
        shocks = [] if thinned else _shocks(variance)
        span = float(np.nanmax(steps)) if np.isfinite(steps).any() else float("nan")
        if not thinned:
            rate = len(shocks) / span * 1e6 if span > 0 else np.nan
            found["value shocks per million steps"] = rate
        negative = float((variance[seen] < 0).mean())
        found["share of batches with explained variance below 0"] = negative
        if shocks:
            found["batches to recover from a shock"] = float(
                np.median([_recovery(variance, row) for row in shocks])
            )
    returns = whole.returns()
    if len(returns) > 1:
        peak = np.maximum.accumulate(returns)
        gain = float(returns.max() - returns.min())
        found["worst drawdown, share of the gain"] = (
            float((peak - returns).max()) / gain if gain else 0.0
        )
    cut = log.get("grad_clip_factor")
    if np.isfinite(cut).any():
        found["share of batches with cut gradients"] = float((cut[np.isfinite(cut)] > 1).mean())
    return found


def _shocks(variance: Column) -> list[int]:
    rows = np.flatnonzero(np.isfinite(variance))
    values = np.clip(variance[rows], -1, 1)
    falls = np.flatnonzero((np.diff(values) < -SHOCK) & (values[:-1] > 0)) + 1
    return [int(rows[place]) for place in falls]


def _recovery(variance: Column, row: int) -> float:
    """Batches until most of the explained variance is back; the rest of the run if never."""
    before = variance[:row][np.isfinite(variance[:row])][-1]
    back = np.flatnonzero(variance[row:] >= RECOVERED * before)
    return float(back[0]) if len(back) else float(len(variance) - row)
