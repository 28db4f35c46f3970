"""What is printed around the batches: header, findings, health of a single batch, end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ppo.cli.columns import Record, figure
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
LABEL = 7  # run0042, differs, verdict: what stands before the bar

# ---- the header


def fixes(ppo: PPOConfig) -> list[str]:
    """Which of the three cures of an exploding value loss are active."""
    return [_value_clip(ppo), _return_standardization(ppo), _value_loss_weight(ppo)]


def _value_clip(ppo: PPOConfig) -> str:
    kind, width = ppo.value_clip_kind, ppo.value_clip_epsilon
    if kind == "relative":
        return f"relative value clipping: +-{width:,.1%} of the old value"
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


def labelled(label: str, text: str, width: int = WIDTH) -> list[str]:
    """`label   | text`, wrapped at words; a path or a command longer than a line stays whole."""
    start = f"{label:<{LABEL}} | "
    return wrapped(text, width, start, f"{'':<{LABEL}} | ")


def packed(label: str, parts: list[str], width: int = WIDTH) -> list[str]:
    """As few lines as hold `parts`, separated by bars."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f" | {part}"
        else:
            lines.append(f"{label if not lines else '':<{LABEL}} | {part}")
    return lines


def header(
    run_name: str, config: Config, facts: Mapping[str, Any], width: int = WIDTH
) -> list[str]:
    """At most five lines on what starts, with which cures, and where it goes."""
    threads, parameters = facts.get("threads"), facts.get("parameters")
    device = str(facts.get("device", config.system.device))
    steps = compact(facts.get("total_steps") or config.train.total_timesteps)
    parts = [  # what matters less goes first where they do not fit into one line
        f"{config.env.id} ({facts.get('backend', config.env.backend)}, {config.env.num_envs} envs)",
        str(facts.get("length") or f"{steps} steps"),
        f"seed {config.system.seed}",
        device,
        *([] if threads is None else [f"{threads} thread{'s' if threads != 1 else ''}"]),
        *([] if parameters is None else [f"{compact(parameters)} parameters"]),
    ]
    fitting = (packed(run_name, parts[:count], width) for count in range(len(parts), 0, -1))
    first = next(lines for lines in fitting if len(lines) == 1)
    lines = [*first, *_cures(config.ppo, width)]
    if facts.get("differs"):
        text = _differs(facts["differs"], facts.get("previous"), width)
        lines += labelled("differs", text, width)[:1]
    if facts.get("path"):
        lines.append(_output(str(facts["path"]), facts.get("batch"), width))
    return lines[:5]


def _cures(ppo: PPOConfig, width: int) -> list[str]:
    """The fixes in two lines where they can be had."""
    lines = packed("fixes", fixes(ppo), width)
    if len(lines) > 2:
        short = [text.replace(", popart", "") for text in fixes(ppo)]
        lines = packed("fixes", short, width)
    return lines


def _output(path: str, batch: Any, width: int) -> str:
    """The path, never cut, with what fits beside it."""
    line = f"{'output':<{LABEL}} | {path}"
    hints = ["Ctrl-C once: finish, save, report"]
    if batch:
        hints.insert(0, f"goes on at batch {batch}")
    for hint in ("; ".join(hints), hints[0]):
        if len(line) + 4 + len(hint) <= width:
            return f"{line}    {hint}"
    return line


def _differs(changes: Any, previous: str | None, width: int) -> str:
    """The settings that changed since another run, as many as fit."""
    changes = [changes] if isinstance(changes, str) else list(changes)
    room = width - LABEL - 3

    def more(shown: int) -> str:
        return f", and {len(changes) - shown} more" if shown < len(changes) else ""

    start = f"from {previous}: " if previous else ""
    forms = (start + changes[0], changes[0], changes[0].partition(" ")[0])
    text = next((form for form in forms if len(form + more(1)) <= room), forms[-1])
    for shown, change in enumerate(changes[1:], start=2):
        if len(f"{text}, {change}{more(shown)}") > room:
            return text + more(shown - 1)
        text = f"{text}, {change}"
    return text


# ---- findings, the health of one batch, the end


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
    if not remedy:
        return lines
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
        return f"{text}; entropy loss: -{coefficient} x entropy"
    effective = _effective(ppo).strip(" ()")
    if metric.name == "value_loss_weight" and effective:
        return f"{effective}: times ppo.return_scale squared"
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
    success = clean(summary.get("success_rate"))
    return text + (f", success {success:.0%}" if success is not None else "")


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
