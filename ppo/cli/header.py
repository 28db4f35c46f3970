"""What is printed before the first batch: what starts, with which cures, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ppo.core.figures import compact
from ppo.core.screen import WIDTH, wrapped

if TYPE_CHECKING:
    from ppo.config import Config, PPOConfig

LABEL = 7  # run0042, differs, verdict: what stands before the bar


def fixes(ppo: PPOConfig) -> list[str]:
    """Which of the three cures of an exploding value loss are active."""
    weight = f"value loss weight: {ppo.value_loss_weight:g}{effective(ppo)}"
    return [_value_clip(ppo), _return_standardization(ppo), weight]


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


def effective(ppo: PPOConfig) -> str:
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
    short = [text.replace(", popart", "") for text in fixes(ppo)]
    return lines if len(lines) <= 2 else packed("fixes", short, width)


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


def _differs(changes: Sequence[str], previous: str | None, width: int) -> str:
    """The settings that changed since another run, as many as fit."""
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
