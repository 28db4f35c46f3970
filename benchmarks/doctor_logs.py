"""Judges a folder of labelled logs: what the doctor names first against what the label has.

    python benchmarks/doctor_logs.py FOLDER [--list]

FOLDER holds one folder a log. Its label is `label.json` beside the log ({"truth": [illness, ...],
"outcome": "ill" | "healthy"}, an empty truth for a healthy run), or a line of FOLDER/labels.json
({"name": ["illness", ...]}; several are alternatives, `healthy`, `too_early`, `not_learning`,
`not_read`, `ill` stand for the status alone), or the third column of a table in FOLDER/README.md,
of which the judgements in JUDGEMENTS are understood. Other logs are listed without a judgement.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ppo.core.errors import UserError  # noqa: E402
from ppo.insight.doctor import diagnose  # noqa: E402
from ppo.insight.logs import read_log  # noqa: E402
from ppo.insight.verdict import status  # noqa: E402

# What a judgement in words asks for: statuses or first findings, any of them. First match counts.
JUDGEMENTS = (
    (r"not PPO", {"not_read"}),
    (r"too short|too early", {"too_early"}),
    (r"policy dies; the rate was too high", {"learning_rate_too_high"}),
    (r"policy dies", {"entropy_collapse", "learning_rate_too_high", "policy_collapse"}),
    (r"learns nothing", {"not_learning", "no_reward_signal"}),
    (r"episodes of one step|nothing learned", {"not_learning", "no_reward_signal"}),
    (r"rises, then falls|falls|for good", {"policy_collapse"}),
    (r"raw reward scale|targets of", {"reward_scale_too_large"}),
    (r"not normalized", {"observations_unnormalized", "learning_rate_too_high"}),
    (r"^(healthy|learns|rises)", {"healthy"}),
)
STATUSES = {"healthy", "too_early", "not_learning", "not_read", "ill"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", action="store_true", help="every log, not only the wrong ones")
    args = parser.parse_args()
    print(judge(args.folder, args.list))


def judge(folder: Path, everything: bool = False) -> str:
    """The confusion table in Markdown, and the logs that came out otherwise."""
    wanted = labels(folder)
    confusion: Counter[tuple[str, str]] = Counter()
    lines, right, false_alarms, healthy = [], 0, 0, 0
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        found, first, names = verdict(place)
        truth = wanted.get(place.name)
        ok = truth is None or bool({found, first} & truth)
        if truth is not None:
            confusion[" or ".join(sorted(truth)), first] += 1
            right += ok
            healthy += truth == {"healthy"}
            false_alarms += truth == {"healthy"} and not ok
        if everything or not ok:
            mark = "-" if truth is None else "right" if ok else "WRONG"
            expected = " or ".join(sorted(truth)) if truth else "no judgement"
            lines.append(f"- {mark}: {place.name}: {expected}; told {', '.join(names) or found}")
    total = sum(confusion.values())
    rows = [f"| {truth} | {first} | {n} |" for (truth, first), n in sorted(confusion.items())]
    table = ["| label | named first | logs |", "|-|-|-|", *rows]
    table.append(f"\n{right} of {total} as labelled; {false_alarms} of {healthy} healthy alarmed")
    return "\n".join([*table, "", *lines])


def verdict(place: Path) -> tuple[str, str, list[str]]:
    """Status, first finding (or the status), and every finding."""
    try:
        log = read_log(place)
    except UserError:
        return "not_read", "not_read", []
    findings = diagnose(log)
    found = status(log, findings)
    names = [finding.illness for finding in findings]
    return found, names[0] if names else found, names


def labels(folder: Path) -> dict[str, set[str]]:
    """What each log's label asks for."""
    found = from_table(folder / "README.md")
    together = folder / "labels.json"
    if together.exists():
        found |= {name: set(truth) for name, truth in json.loads(together.read_text()).items()}
    outcomes = learned_all_the_same(folder / "README.md")
    for file in folder.glob("*/label.json"):
        name = file.parent.name
        truth = set(json.loads(file.read_text()).get("truth", []))
        if name not in outcomes:
            found[name] = truth or {"healthy"}
        else:  # gained as much as its twin: either is right
            found[name] = truth | {"healthy"}
    return found


def from_table(readme: Path) -> dict[str, set[str]]:
    rows = re.findall(r"^\|([^|\n]+)\|[^|\n]*\|([^|\n]+)\|", _text(readme), flags=re.MULTILINE)
    found = {}
    for name, judgement in rows:
        for pattern, truth in JUDGEMENTS:
            if re.search(pattern, judgement.strip()):
                found[name.strip()] = truth
                break
    return found


def learned_all_the_same(readme: Path) -> set[str]:
    """Logs of which the README has that they gained as much as healthy ones."""
    after = _text(readme).partition("By outcome")[2]
    return set(re.findall(r"`(\w+)`", after))


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


if __name__ == "__main__":
    main()
