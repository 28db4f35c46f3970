"""What a search has found: best settings as a file, and its history as a page."""

from __future__ import annotations

import html
from typing import Any

from ppo.core.figures import number
from ppo.insight.experiments.search import BEST, Tuner
from ppo.insight.experiments.space import Dimension
from ppo.runs import files

PAGE = "tune.html"
# Finished trials from which on importance is named: where one setting moves the return by three
# times its noise, PED-ANOVA puts another one first in 47 % of the searches of 10 trials, in 22 %
# of those of 20, and in 7 % of those of 40 (benchmarks/importance.py).
ENOUGH = 40
WIDTH, HEIGHT, EDGE = 480, 180, 30


def conclude(tuner: Tuner) -> str:
    """Writes best.yaml and tune.html; a summary in words."""
    trials = tuner.study.get_trials(deepcopy=False)
    state = tuner.optuna.trial.TrialState
    done = [t for t in trials if t.state == state.COMPLETE]
    pruned, failed = (sum(t.state == kind for t in trials) for kind in (state.PRUNED, state.FAIL))
    left = len(trials) - len(done) - pruned - failed  # the same command goes on with them
    lines = [
        f"{len(trials)} trial{'' if len(trials) == 1 else 's'}: {len(done)} finished, "
        f"{pruned} pruned, {failed} failed"
        f"{f', {left} lost with their nodes' if left else ''}; "
        f"pruning saved {saved(tuner, trials):.0%} of the steps"
    ]
    if done:
        best = max(done, key=lambda t: t.value)
        settings = _settings(tuner, best)
        text = tuner.search.load(settings).to_yaml()
        files.atomic_write(tuner.folder / BEST, text.encode())
        lines.append(f"best: trial {best.number + 1}, return {number(best.value)}")
        lines += [f"  {setting}" for setting in settings]
        if len(tuner.search.seeds) == 1:
            lines.append("one seed a trial, so the best is partly luck: train it with other seeds")
        lines += _importance(tuner, len(done))
        lines.append(f"settings: {files.from_here(tuner.folder / BEST)}")
    files.atomic_write(tuner.folder / PAGE, page(tuner, lines).encode())
    lines.append(f"page: {files.from_here(tuner.folder / PAGE)}")
    return "\n".join(lines)


def saved(tuner: Tuner, trials: list[Any]) -> float:
    """Share of the steps of whole trials that pruning left out."""
    whole = tuner.total * len(tuner.search.seeds)
    known = [trial.user_attrs["steps"] for trial in trials if "steps" in trial.user_attrs]
    return 1.0 - sum(known) / (whole * len(known)) if known else 0.0


def _importance(tuner: Tuner, done: int) -> list[str]:
    """A line for each setting: its share in what tells good trials from others."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    if done < ENOUGH:
        return [f"importance of the settings: from {ENOUGH} finished trials on"]
    try:
        shares = get_param_importances(tuner.study, evaluator=PedAnovaImportanceEvaluator())
    except (ValueError, RuntimeError):
        return []
    return [f"importance {share:.2f} {name}" for name, share in shares.items()]


def _settings(tuner: Tuner, trial: Any) -> list[str]:
    return [f"{d.key}={d.typed(trial.params[d.key])}" for d in tuner.search.space]


def page(tuner: Tuner, lines: list[str]) -> str:
    """One file that needs nothing else: history, a picture of each setting, every trial."""
    trials = [t for t in tuner.study.get_trials(deepcopy=False) if t.params]
    points = [(t, _value(t)) for t in trials]
    shown = [(t, v) for t, v in points if v is not None]
    parts = [f"<h1>Search</h1><pre>{html.escape(chr(10).join(lines))}</pre>"]
    if shown:
        if any(t.state.name != "COMPLETE" for t, _ in shown):
            parts.append("<p>Hollow: pruned or failed, with the last return before that.</p>")
        last = max(t.number for t, _ in shown) or 1
        parts.append(_plot("return by trial", [(t.number / last, v, t) for t, v in shown]))
        for d in tuner.search.space:
            known = [(t, v) for t, v in shown if d.key in t.params]
            found = [(d.place(d.typed(t.params[d.key])), v, t) for t, v in known]
            parts.append(_plot(f"{d.key}: {_ends(d)}", found))
    rows = "".join(_row(t, v) for t, v in points)
    parts.append(
        f"<table><tr><th>trial<th>state<th>return<th>settings<th>reason</tr>{rows}</table>"
    )
    style = "body{font:15px sans-serif;margin:24px}td,th{padding:3px 9px;text-align:left}"
    return (
        f"<!doctype html><meta charset='utf-8'><title>Search</title><style>{style}</style>"
        + "".join(parts)
    )


def _ends(dimension: Dimension) -> str:
    """From the left of a picture to its right."""
    if dimension.choices:
        return ", ".join(dimension.choices)
    return f"{' to '.join(dimension.ends())}{' (log)' if dimension.log else ''}"


def _value(trial: Any) -> float | None:
    """The return of a trial, of a pruned one as far as it got."""
    if trial.value is not None:
        return float(trial.value)
    known = trial.intermediate_values
    return float(known[max(known)]) if known else None


def _row(trial: Any, value: float | None) -> str:
    cells = (
        trial.number + 1,
        trial.state.name.lower(),
        "" if value is None else number(value),
        ", ".join(f"{key}={found}" for key, found in trial.params.items()),
        trial.user_attrs.get("reason", ""),
    )
    return "<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in cells) + "</tr>"


def _plot(title: str, points: list[tuple[float, float, Any]]) -> str:
    """Points [0, 1] x return; pruned trials are hollow."""
    values = [v for _, v, _ in points]
    low, span = min(values), (max(values) - min(values)) or 1.0
    dots = ""
    for x, v, trial in points:
        left = EDGE + x * (WIDTH - 2 * EDGE)
        top = HEIGHT - EDGE - (v - low) / span * (HEIGHT - 2 * EDGE)
        fill = "#26c" if trial.state.name == "COMPLETE" else "none"
        dots += (
            f"<circle cx='{left:.1f}' cy='{top:.1f}' r='4' fill='{fill}' stroke='#26c'>"
            f"<title>trial {trial.number + 1}: {number(v)}</title></circle>"
        )
    ends = f"<text x='2' y='14' font-size='12'>{number(max(values))}</text>"
    ends += f"<text x='2' y='{HEIGHT - 8}' font-size='12'>{number(low)}</text>"
    return (
        f"<h2>{html.escape(title)}</h2><svg width='{WIDTH}' height='{HEIGHT}' "
        f"style='border:1px solid #ccc'>{ends}{dots}</svg>"
    )
