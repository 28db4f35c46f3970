"""The page of one run, which stands in its folder: result, findings, settings, how to go on.

It has the frame, the style and the curves of the page of a comparison (page.py).
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ppo.config.automatic import AUTO, as_asked
from ppo.core.errors import Diverged
from ppo.core.figures import compact, duration, number, written
from ppo.core.metrics import clean
from ppo.core.news import News
from ppo.core.program import command
from ppo.insight.comparison import curves, page
from ppo.insight.comparison.compare import assemble
from ppo.insight.comparison.groups import RETURN
from ppo.insight.comparison.run import load_run
from ppo.insight.doctor import Verdict
from ppo.insight.rules import ELSE, Finding
from ppo.runs.summary import best_evaluation, which_episodes

EVENTS = 40  # that are listed
NOTE = (
    "Marks on the axis of the first chart are findings of the doctor. Point at a curve to read it, "
    "press a name to hide it."
)


@dataclass(frozen=True)
class Ended:
    """What is known of a run beside its records.

    Attributes:
        summary: what summary.json holds.
        verdict: the doctor's; None: it was not asked.
        settings, shipped: of this run and of a run without any setting, with dotted keys.
        evaluations: rows of evaluations.json.
        place: names the run on the command line. folder: its path from here.
    """

    summary: Mapping[str, Any]
    verdict: Verdict | None
    settings: Mapping[str, Any]
    shipped: Mapping[str, Any]
    evaluations: Sequence[Mapping[str, Any]] = field(default=())
    place: str = "latest"
    folder: Path = Path()


def report(folder: Path, ended: Ended) -> str:
    """The page as text; reads loss_metrics.json, of long runs every n-th record."""
    findings = list(ended.verdict.findings) if ended.verdict else []
    run = load_run(folder, findings)
    comparison = assemble([run])
    data = curves.data(comparison)
    if rows := _evaluated(ended.evaluations):
        data["groups"][0]["label"] = "training"
        data["groups"].append(rows)
    task = ended.settings.get("env.id")
    return page.frame(
        title=run.name + (f": {task}" if task else ""),
        results=[
            _result(ended),
            _found(ended.verdict),
            _go_on(ended),
            _settings(ended.settings, ended.shipped),
        ],
        details=[_events(run.log.events), *page.details(comparison)],
        data=data,
        note=NOTE,
        single=False,
    )


def _result(ended: Ended) -> str:
    summary, rows = ended.summary, []
    status = str(summary.get("status", "")) + (
        f": {summary['reason']}" if summary.get("reason") else ""
    )
    rows.append(["status", page.escape(status)])
    rows.append(["verdict of the doctor", page.escape(_verdict(ended.verdict))])
    final = clean(summary.get("final_return"))
    if final is not None:
        low, high = (clean(end) for end in summary.get("final_return_ci95") or (None, None))
        text = f"{number(final)} over {which_episodes(summary)}"
        if low is not None and high is not None:
            text += f", 95 % interval {number(low)} to {number(high)}"
        rows.append(["return", text])
    if best := best_evaluation(summary, bool(ended.settings.get("evaluation.deterministic"))):
        rows.append(["best evaluation", page.escape(best)])
    steps, seconds = clean(summary.get("env_steps")), clean(summary.get("wall_time_s"))
    if steps is not None and seconds is not None:
        count = summary.get("batches", "-")
        text = f"{compact(steps)} steps in {count} batch{'es' if count != 1 else ''}"
        rows.append(["length", f"{text} and {duration(seconds)}"])
    return page.table(["", "result"], rows, "result", "words")


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return "not asked (logging.doctor: false)"
    named = ", ".join(finding.illness.replace("_", " ") for finding in verdict.findings[:3])
    return f"{verdict.text}: {named}" if named else verdict.text


def _found(verdict: Verdict | None) -> str:
    """The findings in full, the cause first."""
    if verdict is None or not verdict.findings:
        return ""
    items = []
    for finding in verdict.findings[:3]:
        first, *others = finding.remedies
        what = page.escape(finding.illness.replace("_", " "))
        advice = page.escape(first)
        if _typed(finding):
            advice = f"<code>{advice}</code>"
        text = f"<b>{what}</b> ({finding.severity}) since batch {finding.since_batch}: "
        text += f"{page.escape(finding.evidence)}. Try {advice}"
        if others:
            text += f", else {page.escape(ELSE.join(others))}"
        items.append(f"<li>{text}</li>")
    head = "<h2>Findings of the doctor</h2>"
    return f'{head}<ol id="findings">{"".join(items)}</ol>'


def _typed(finding: Finding) -> str:
    """The KEY=VALUE that a finding advises first; empty where it is none that one can type."""
    advice = finding.remedies[0].split(" ")[0]
    return advice if "=" in advice else ""


def _go_on(ended: Ended) -> str:
    """Commands to copy: what suits the way in which the run ended comes first."""
    run = ended.place
    status, steps = ended.summary.get("status"), clean(ended.summary.get("env_steps"))
    lines: list[tuple[str, str]] = []
    diverged = ended.summary.get("exit_status") == Diverged.exit_status
    if status == "interrupted" or (status == "failed" and not diverged):
        what = "go on where it stopped" + (", once that is mended" if status == "failed" else "")
        lines.append((what, command("train", "--resume", run)))
    findings = ended.verdict.findings if ended.verdict else []
    if findings and (typed := _typed(findings[0])):
        config = shlex.quote(str(ended.folder / "config.yaml"))
        again = command("train", "--config", config, "--set", shlex.quote(typed))
        lines.append(("train anew, as advised", again))
    if findings:
        lines.append(("read all about the findings", command("diagnose", run)))
    lines.append(("play the policy", command("evaluate", "--run", run)))
    if status == "finished" and steps is not None and not findings:
        more = f"train.total_timesteps={2 * int(steps)}"
        again = command("train", "--resume", run, "--set", more)
        lines.append(("train on, to twice as many steps", again))
    beside = command("compare", run, "OTHER_RUN", "--html", "page.html")
    lines.append(("see it beside another run", beside))
    items = (f"<dt>{what}</dt><dd>{page.escape(words)}</dd>" for what, words in lines)
    return f'<h2>How to go on</h2><dl id="go_on">{"".join(items)}</dl>'


def _settings(settings: Mapping[str, Any], shipped: Mapping[str, Any]) -> str:
    """What the user set otherwise than shipped, and what was chosen for `auto`."""
    asked = as_asked(dict(settings))
    keys = [key for key in asked if key in shipped and _differs(asked[key], shipped[key])]
    keys += [key for key in asked if key not in shipped]
    chosen = [key for key, value in asked.items() if value == AUTO and settings[key] != AUTO]
    if not keys:
        return "<h2>Settings</h2><p id='settings'>All as shipped.</p>" + _chosen(settings, chosen)
    rows = [
        [
            f"<code>{page.escape(key)}</code>",
            f"<code>{_value(asked[key])}</code>",
            f"<code>{_value(shipped[key])}</code>" if key in shipped else "-",
        ]
        for key in keys
    ]
    head = "<h2>Settings that differ from the shipped ones</h2>"
    table = page.table(["setting", "this run", "shipped"], rows, "settings", "left")
    return head + table + _chosen(settings, chosen)


def _chosen(settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    items = [f"<code>{page.escape(key)}={_value(settings[key])}</code>" for key in keys]
    return f'<p class="note" id="chosen">Chosen for auto: {", ".join(items)}.</p>' if items else ""


def _differs(value: Any, shipped: Any) -> bool:
    """Whether somebody may have set it: an empty list is what `auto` found nothing for."""
    return value != shipped and not (value == [] and shipped == "auto")


def _value(value: Any) -> str:
    return page.escape(written(value))


def _events(events: Sequence[tuple[int, str]]) -> str:
    if not events:
        return ""
    news, told = News(), []
    for batch, group in itertools.groupby(events, lambda event: event[0]):
        told += [(batch, text) for text in news.of([text for _, text in group])]
    items = [f"<li>batch {batch}: {page.escape(text)}</li>" for batch, text in told[:EVENTS]]
    more = f"<li>and {len(told) - EVENTS} more</li>" if len(told) > EVENTS else ""
    return f'<h2>What happened</h2><ul class="events">{"".join(items)}{more}</ul>'


def _evaluated(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The returns of the evaluations as a curve beside that of training."""
    rows = [(clean(row.get("env_steps")), clean(row.get("mean_return"))) for row in evaluations]
    rows = [row for row in rows if None not in row]
    if not rows:
        return None
    steps, values = np.asarray(rows, dtype=np.float64).T
    run = {
        "name": "evaluation",
        "steps": [curves.short(value) for value in steps],
        "seconds": [None] * len(rows),
        "y": {RETURN: [curves.short(value) for value in values]},
        "marks": [],
        "dash": True,
    }
    return {"label": "evaluation", "runs": [run], "bands": {}}
