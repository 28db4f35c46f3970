"""What is printed below the batches: findings, the health of a single one, the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ppo.cli.columns import Record, figure
from ppo.cli.header import LABEL, effective, labelled
from ppo.config.units import REWARDS, value_loss_unit
from ppo.core import program
from ppo.core.errors import Diverged
from ppo.core.figures import compact, duration, number
from ppo.core.metrics import METRICS, UNBOUNDED, Metric, clean
from ppo.core.screen import WIDTH, wrapped
from ppo.insight.verdict import WORDS
from ppo.runs.names import to_type
from ppo.runs.summary import best_evaluation, which_episodes

if TYPE_CHECKING:
    from ppo.config import Config, PPOConfig

HEALTHY = "healthy: no rule of --mode diagnose fired"
USUAL_CUT = "A few times is usual; dozens mean that nothing else than the largest term is learned"
NOTABLE = 0.05  # evaluations that take this share of the training's time are mentioned

INDENT = 10  # of notes and findings below a batch


def note_lines(text: str, width: int = WIDTH) -> list[str]:
    """The indented lines of something that happened."""
    return wrapped(text, width, " " * INDENT, " " * (INDENT + 2))


def no_episode(config: Config, longest: int | None, batches: int) -> str:
    """That no episode ended for some batches, and which setting would show returns sooner.

    Args:
        longest: steps of the longest episode; None: not known.
    """
    num_envs, num_steps = config.env.num_envs, config.ppo.num_steps
    text = f"no episode ended in {batches} batches of {num_steps:,} steps per environment"
    if longest is not None:
        text += f"; one may last {longest:,} steps"
    fewer = next((k for k in range(2, num_envs + 1) if _shows_ends(config, k, longest)), None)
    if fewer is None:
        return f"{text}; a larger ppo.num_steps shows returns sooner"
    same = f"ppo.num_steps={num_steps * fewer} env.num_envs={num_envs // fewer}"
    return f"{text}; returns show sooner with {same}, a batch of the same size"


def _shows_ends(config: Config, times: int, longest: int | None) -> bool:
    """Whether so many times fewer environments see an episode end in every batch."""
    num_envs = config.env.num_envs
    if num_envs % times or config.network.memory != "none":
        return False
    return config.ppo.num_steps * times >= (longest or 4 * config.ppo.num_steps)


def finding_lines(found: str, remedy: str, run: str, width: int = WIDTH) -> list[str]:
    """The indented lines of a finding.

    Args:
        found: the illness and its evidence. remedy: the setting to try.
    """
    lines = note_lines(f"! {found}", width)
    advice = f"try {remedy}        more: --mode diagnose {run}"
    indent = " " * (INDENT + 2)
    if len(indent + advice) <= width:
        return [*lines, indent + advice]
    return lines + wrapped(f"try {remedy}", width, indent, f"{indent}  ")


def health_block(
    record: Record, config: Config, marked: Collection[str] = (), width: int = WIDTH
) -> list[str]:
    """One batch explained: each figure with a word and with what is normal.

    A figure that has a column in the table bears its title. The words judge figures without units
    only; a loss has no size that is good in itself.
    """
    lines = ["health of the batch     figure  verdict   what it is, and what is normal"]
    for metric in METRICS:
        if not metric.normal:
            continue
        name = metric.column.title if metric.column else metric.title
        start = f"  {name:<19} {figure(record, metric.name):>8}  "
        start += f"{_word(record, metric, marked, config.ppo):<9} "
        lines += wrapped(_normal(record, metric, config.ppo), width, start, " " * len(start))
    return lines


def scale_warning(record: Record, config: Config, marked: Collection[str]) -> str | None:
    """What raw returns do to a batch's gradients; None where they do nothing bad."""
    if value_loss_unit(config.ppo) != REWARDS or "grad_clip_factor" not in marked:
        return None
    return (
        f"warning: the value loss is in {REWARDS} (the returns' standard deviation is "
        f"{figure(record, 'return_std')}), so that it is {figure(record, 'value_loss')} and "
        f"gradients are cut {figure(record, 'grad_clip_factor')} times. {USUAL_CUT}. Set "
        "ppo.normalize_returns=true"
    )


def _word(record: Record, metric: Metric, marked: Collection[str], ppo: PPOConfig) -> str:
    """good, high, low or unknown by the healthy range; finite or not where there is none."""
    value = clean(record.get(metric.name))
    bounded = metric.healthy != UNBOUNDED
    if value is None:
        return "NOT FINITE" if metric.always else "unknown" if bounded else ""
    if metric.name == "value_loss":
        return "raw" if value_loss_unit(ppo) == REWARDS else "finite"
    outside = not metric.is_healthy(value)
    if metric.name in marked or (outside and metric.column is None):
        return "low !" if value < metric.healthy[0] else "high !"
    if metric.name == "explained_variance":
        return "good" if value > 0.5 else "learning" if value > 0.1 else "untrained"
    if metric.name == "normalized_value_loss":
        return "good" if value < 0.5 else "learning" if value < 0.9 else "untrained"
    if outside:
        return "harmless"
    return "good" if bounded else "finite" if metric.always else ""


def _normal(record: Record, metric: Metric, ppo: PPOConfig) -> str:
    """What a figure is and what to expect; in words of the settings where these decide."""
    text = metric.normal
    if metric.name == "value_loss":
        text = f"unweighted, in {value_loss_unit(ppo)}"
        parts = len(record.get("components") or ())
        return f"{text}, summed over {parts} components" if parts > 1 else text
    if metric.name == "entropy":
        coefficient = figure(record, "entropy_coefficient")
        term = "none" if coefficient == "0" else f"-{coefficient} x entropy"
        return f"{text}; entropy loss: {term}"
    weight = effective(ppo).strip(" ()")
    if metric.name == "value_loss_weight" and weight:
        return f"{weight}: times ppo.return_scale squared"
    named = metric.title if metric.column and metric.title != metric.column.title else ""
    return f"{named}: {text}" if named else text


def end_block(
    summary: Mapping[str, Any],
    told: Mapping[str, Mapping[str, Any]] | None = None,
    width: int = WIDTH,
) -> list[str]:
    """How a run ended and what to type next; keys that are missing leave their line out.

    Args:
        told: since_batch and remedy of every illness that was reported.
    """
    lines = labelled(str(summary.get("run", "run")), _status(summary), width)
    mean = clean(summary.get("final_return"))
    if mean is not None:
        lines += labelled("return", _final_return(summary, mean), width)
    if best := best_evaluation(summary, bool(summary.get("deterministic"))):
        lines += labelled("best", f"evaluation {best}", width)
    for i, text in enumerate(_verdict(summary, told or {})):
        lines += labelled("" if i else "verdict", text, width)
    if summary.get("passed"):
        names = ", ".join(str(illness).replace("_", " ") for illness in summary["passed"])
        lines += labelled("passed", f"{names}: found on the way, and no more at the end", width)
    if summary.get("cut"):
        lines += labelled("cut", str(summary["cut"]), width)
    if summary.get("time"):
        lines += labelled("time", _time_split(summary["time"]), width)
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
        played = clean((summary.get("time") or {}).get("evaluation")) or 0.0
        parts.append(f"in {duration(seconds + played)}")
        if steps and seconds > 0:
            apart = ", evaluations apart" if played > NOTABLE * seconds else ""
            parts.append(f"({compact(steps / seconds)} steps/s{apart})")
    return parts[0] + (", " + " ".join(parts[1:]) if parts[1:] else "")


def _final_return(summary: Mapping[str, Any], mean: float) -> str:
    text = f"{number(mean)} over {which_episodes(summary)}"
    low, high = (clean(end) for end in summary.get("final_return_ci95") or (None, None))
    if low is not None and high is not None:
        text += f" (95 % interval {number(low)} to {number(high)})"
    return text


def _verdict(summary: Mapping[str, Any], told: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The doctor's verdict on the run, or up to three illnesses with the setting to try."""
    findings = list(summary.get("findings") or told)
    if not findings:
        if summary.get("status") == "failed":
            return ["stopped before the end; the last good checkpoint is kept"]
        verdict = summary.get("verdict", "healthy")
        if verdict is None:
            return []
        words = HEALTHY if verdict == "healthy" else WORDS.get(str(verdict), str(verdict))
        return [str(summary.get("verdict_text", words))]
    texts = []
    for illness in findings[:3]:
        known = told.get(illness, {})
        text = str(illness).replace("_", " ")
        if known.get("since_batch") is not None:
            text += f" since batch {known['since_batch']}"
        texts.append(text + (f": try {known['remedy']}" if known.get("remedy") else ""))
    return texts


_TIMES = {"collect": "rollout"}


def _time_split(spent: Mapping[str, float]) -> str:
    total = sum(spent.values())
    if total <= 0:
        return "too short to measure"
    return ", ".join(
        f"{_TIMES.get(name, name)} {seconds / total:.0%}" for name, seconds in spent.items()
    )


def next_command(summary: Mapping[str, Any]) -> str:
    """What to type next: go on with a stopped run, examine a sick one, evaluate a finished one.

    A run that failed by its environment or a callback goes on once these are mended.
    """
    run = summary.get("run")
    if not run:
        return ""
    run = to_type(str(run), summary.get("path"))
    status = summary.get("status")
    goes_on = status == "failed" and summary.get("exit_status") != Diverged.exit_status
    if status == "interrupted" or goes_on:
        return program.command("train", "--resume", run)
    if status == "failed" or summary.get("findings"):
        return program.command("diagnose", run)
    return program.command("evaluate", "--run", run)
