"""What is printed around the batches: header, findings, health of a single batch, end."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppo.cli.columns import WIDTH, Record, figure
from ppo.core import program
from ppo.core.figures import compact, duration, number
from ppo.core.metrics import DECLARED, METRICS, UNBOUNDED, Metric, clean

if TYPE_CHECKING:
    from ppo.config import Config, PPOConfig

HEALTHY = "healthy: no rule of --mode diagnose fired"
LABEL = 7  # run0042, differs, verdict: what stands before the bar

# ---- the header


def fixes(ppo: PPOConfig) -> list[str]:
    """Which of the three cures of an exploding value loss are active."""
    return [_value_clip(ppo), _return_standardization(ppo), _value_loss_weight(ppo)]


def _value_clip(ppo: PPOConfig) -> str:
    kind, width = ppo.value_clip_kind, ppo.value_clip_epsilon
    if kind == "relative":
        return f"relative value clipping: +-{width:.1%} of the old value"
    if kind == "sigma":
        return f"value clipping: +-{width:g} standard deviations of the return"
    if kind == "absolute":
        unit = "of the standardized return" if ppo.normalize_returns else "in units of the reward"
        return f"relative value clipping: off (absolute, +-{width:g} {unit})"
    return "value clipping: off"


def _return_standardization(ppo: PPOConfig) -> str:
    if not ppo.normalize_returns:
        return "return standardization: off"
    if ppo.return_normalizer == "symlog":
        return "return standardization: off (symlog)"
    return f"return standardization: on (scale {ppo.return_scale}), {ppo.return_normalizer}"


def _value_loss_weight(ppo: PPOConfig) -> str:
    return f"value loss weight: {ppo.value_loss_weight:g}{_effective(ppo)}"


def _effective(ppo: PPOConfig) -> str:
    """In network units, errors of returns standardized to scale s grow with s squared."""
    if not ppo.normalize_returns or ppo.value_loss_unit == "variance":
        return ""
    return f" (effective {ppo.value_loss_weight * ppo.return_scale**2:g})"


def labelled(label: str, text: str) -> str:
    """`label   | text`, cut to the width of the display."""
    return _cut(f"{label:<{LABEL}} | {text}")


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def packed(label: str, parts: list[str]) -> list[str]:
    """As few lines as hold `parts`, separated by bars."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= WIDTH:
            lines[-1] += f" | {part}"
        else:
            lines.append(f"{label if not lines else '':<{LABEL}} | {part}")
    return lines


def header(run_name: str, config: Config, facts: Mapping[str, Any]) -> list[str]:
    """At most five lines that say what starts, with which cures, and where it goes."""
    threads = facts.get("threads")
    device = str(facts.get("device", config.system.device))
    parts = [
        f"{config.env.id} ({facts.get('backend', config.env.backend)}, {config.env.num_envs} envs)",
        f"{compact(facts.get('total_steps') or config.train.total_timesteps)} steps",
        f"seed {config.system.seed}",
        device if threads is None else f"{device}, {threads} thread{'s' if threads != 1 else ''}",
    ]
    if facts.get("parameters") is not None:
        parts.append(f"{compact(facts['parameters'])} parameters")
    first = f"{run_name:<{LABEL}} | {' | '.join(parts)}"
    if len(first) > WIDTH:
        first = first.replace(" parameters", " params").replace(", 1 thread", "")
    lines = [_cut(first), *packed("fixes", fixes(config.ppo))]
    if facts.get("differs"):
        lines.append(labelled("differs", _differs(facts["differs"], facts.get("previous"))))
    if facts.get("path"):
        hint = "Ctrl-C once: finish, save, report"
        if facts.get("batch"):
            hint = f"goes on at batch {facts['batch']}; {hint}"
        lines.append(labelled("output", f"{facts['path']}        {hint}"))
    return lines[:5]


def _differs(changes: Any, previous: str | None) -> str:
    """The settings that changed since another run, as many as fit."""
    changes = [changes] if isinstance(changes, str) else list(changes)
    start = f"from {previous}: " if previous else ""
    text, shown = start, 0
    for change in changes:
        rest = len(changes) - shown - 1
        more = f", and {rest} more" if rest else ""
        addition = (", " if shown else "") + change
        if shown and len(text) + len(addition) + len(more) > WIDTH - LABEL - 3:
            break
        text, shown = text + addition, shown + 1
    return text + (f", and {len(changes) - shown} more" if shown < len(changes) else "")


# ---- findings, the health of one batch, the end


def finding_lines(illness: str, evidence: str, remedy: str, run: str) -> list[str]:
    """The indented lines of a finding: what is wrong, and which setting to try."""
    text = f"! {illness.replace('_', ' ')}: {evidence}"
    lines = textwrap.wrap(text, WIDTH, initial_indent=" " * 10, subsequent_indent=" " * 12)
    advice = f"try {remedy}        more: --mode diagnose {run}" if remedy else ""
    if not advice:
        return lines
    return lines + textwrap.wrap(
        advice,
        WIDTH,
        initial_indent=" " * 12,
        subsequent_indent=" " * 14,
        drop_whitespace=True,
        break_on_hyphens=False,
    )


def health_block(record: Record, config: Config) -> list[str]:
    """One batch explained: each figure with a word and with what is normal.

    The words judge figures without units only; a loss has no size that is good in itself.
    """
    listed = [metric for metric in METRICS if metric.normal]
    lines = [
        f"  {metric.title:<22} {figure(record, metric.name):>9}  {_word(record, metric):<10}"
        f" {_normal(record, metric, config.ppo)}".rstrip()
        for metric in listed
    ]
    return ["health of the batch        figure  verdict    what is normal", *lines]


def _word(record: Record, metric: Metric) -> str:
    """good, high, low or unknown by the healthy range; finite or not where there is none."""
    if metric.name == "value_loss":  # its size follows the unit, that of its share does not
        metric = DECLARED["normalized_value_loss"]
    value = clean(record.get(metric.name))
    if value is None:
        bounded = metric.healthy != UNBOUNDED
        return "NOT FINITE" if metric.always else "unknown" if bounded else ""
    if not metric.is_healthy(value):
        return "low !" if value < metric.healthy[0] else "high !"
    if metric.name == "explained_variance":
        return "good" if value > 0.5 else "learning" if value > 0.1 else "untrained"
    return "good" if metric.healthy != UNBOUNDED else "finite" if metric.always else ""


def _normal(record: Record, metric: Metric, ppo: PPOConfig) -> str:
    """What to expect of a figure; in words of the settings where these decide."""
    if metric.name == "value_loss":
        return f"{metric.normal}{_VALUE_UNITS[ppo.value_loss_unit]}"
    if metric.name == "entropy":
        coefficient = figure(record, "entropy_coefficient")
        return f"{metric.normal}; entropy loss: -{coefficient} x entropy"
    effective = _effective(ppo).strip(" ()")
    if metric.name == "value_loss_weight" and effective:
        return f"{effective}: times ppo.return_scale squared"
    return metric.normal


_VALUE_UNITS = {
    "variance": ", in variances, sum of components",
    "network": "; its size depends on ppo.return_scale",
}


def end_block(
    summary: Mapping[str, Any], told: Mapping[str, Mapping[str, Any]] | None = None
) -> list[str]:
    """What is left to say when a run ends; keys that are missing leave their line out.

    Args:
        told: since_batch and remedy of every illness that was reported.
    """
    lines = [labelled(str(summary.get("run", "run")), _status(summary))]
    mean = clean(summary.get("final_return"))
    if mean is not None:
        lines.append(labelled("return", _final_return(summary, mean)))
    best = summary.get("best_evaluation") or {}
    mean = clean(best.get("mean_return"))
    if mean is not None:
        at = f" at batch {best['batch']}" if best.get("batch") is not None else ""
        lines.append(labelled("best", f"evaluation {number(mean)}{at}"))
    lines += _verdict(summary, told or {})
    if summary.get("time"):
        lines.append(labelled("time", _time_split(summary["time"])))
    if summary.get("path"):
        lines.append(f"{'files':<{LABEL}} | {summary['path']}")
    command = summary.get("next") or next_command(summary)
    if command:
        lines.append(f"{'next':<{LABEL}} | {command}")  # never cut: it is there to be copied
    return lines


def _status(summary: Mapping[str, Any]) -> str:
    parts = [str(summary.get("status", "finished"))]
    if summary.get("reason"):
        parts[0] += f": {summary['reason']}"
    steps, seconds = clean(summary.get("env_steps")), clean(summary.get("wall_time_s"))
    if steps is not None:
        parts.append(f"{compact(steps)} steps")
    if seconds is not None:
        parts.append(f"in {duration(seconds)}")
        if steps and seconds > 0:
            parts.append(f"({compact(steps / seconds)} steps/s)")
    return parts[0] + (", " + " ".join(parts[1:]) if parts[1:] else "")


def _final_return(summary: Mapping[str, Any], mean: float) -> str:
    text = f"{number(mean)} over the last {summary.get('return_episodes', 100)} episodes"
    low, high = (clean(end) for end in summary.get("final_return_ci95") or (None, None))
    if low is not None and high is not None:
        text += f" (95 % interval {number(low)} to {number(high)})"
    success = clean(summary.get("success_rate"))
    return text + (f", success {success:.0%}" if success is not None else "")


def _verdict(summary: Mapping[str, Any], told: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the doctor says of the run, or up to three illnesses with the setting to try."""
    findings = list(summary.get("findings") or told)
    if not findings:
        if summary.get("status") == "failed":
            text = "stopped before the end; the last good checkpoint is kept"
            return [labelled("verdict", text)]
        if summary.get("verdict", HEALTHY) is None:
            return []
        return [labelled("verdict", str(summary.get("verdict_text", HEALTHY)))]
    texts = []
    for illness in findings[:3]:
        known = told.get(illness, {})
        text = str(illness).replace("_", " ")
        if known.get("since_batch") is not None:
            text += f" since batch {known['since_batch']}"
        texts.append(text + (f": try {known['remedy']}" if known.get("remedy") else ""))
    return [labelled("" if i else "verdict", text) for i, text in enumerate(texts)]


_TIMES = {"collect": "rollout"}


def _time_split(spent: Mapping[str, float]) -> str:
    total = sum(spent.values())
    if total <= 0:
        return "too short to tell"
    return ", ".join(
        f"{_TIMES.get(name, name)} {seconds / total:.0%}" for name, seconds in spent.items()
    )


def next_command(summary: Mapping[str, Any]) -> str:
    """What to type next: go on with a stopped run, examine a sick one, evaluate a finished one."""
    run = summary.get("run")
    if not run:
        return ""
    path = summary.get("path")
    if path and Path(path).parent != Path("training_results"):
        run = shlex.quote(str(path))  # a path finds the run in any results folder
    if summary.get("status") == "interrupted":
        return program.command("train", "--resume", run)
    if summary.get("status") == "failed" or summary.get("findings"):
        return program.command("diagnose", run)
    return program.command("evaluate", "--run", run)
