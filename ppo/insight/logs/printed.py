"""Reads what a trainer prints, also among other text: boxes of names and values, or lines of them.

A line has `name: value`, `name=value`, cells between bars, a list of numbers, or `name value`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ppo.insight.logs.names import is_figure, leaf
from ppo.insight.logs.series import Series
from ppo.insight.logs.shapes import spread
from ppo.insight.logs.tables import is_number, of_rows, plain_cell, plain_rows, read_text

SUFFIXES = (".txt", ".log", ".out", ".md")
CELLS = re.compile(r"^[\s>]*\|([^|]*)\|([^|]*)\|\s*$")  # a quotation mark of a mail may be in front
FIGURES = 2  # in a box, at least
NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)\b"
)
NAME = r"[A-Za-z](?:[\w/%-]|\.(?=\w)| (?=\S))*"
VALUE = re.compile(rf"[:=]\s*[\[(]*(?:0, ')?\s*({NUMBER})(?![\w.]*:\d)", re.I)
BEFORE = re.compile(rf"(?<![\w.'])['\"]?({NAME})['\"]?\s*$")  # the name in front of a value
LIST = re.compile(  # of at least 8 numbers
    rf"[:=]\s*[\[(]*\s*((?:(?:{NUMBER})(?:\s*,\s*|\s+)){{7,}}(?:{NUMBER}))", re.I
)
BARE = re.compile(rf"(?<=[A-Za-z)])[ \t]+({NUMBER})(?![\w.%/:])", re.I)  # without a sign before it
LONG = 1_000_000  # characters, in which a log has begun
COLUMNS = 2  # signs between the cells of a table, at least
RULED = re.compile(r"[-+|:= \t]+")  # a line between head and rows
LONGEST = 60  # characters of a name
HEAD = re.compile(r"(?i)\b(iteration|iter|epoch|update)\s*#?\s*(\d+)\b(?!\s*[=\w])")
AT_STEP = re.compile(rf"^\s*(\d+)\s*:\s+(?={NAME})")  # MuJoCo Playground: 5242880: reward=2.4
FOLDER = re.compile(r"^(\s*)([\w/.-]+):\s*$")  # of the indented names below it
DECORATION = re.compile(r"\x1b\[[0-9;]*m|^[ \t>]*> ?", re.M)  # colors; marks of a quotation
LEVEL = re.compile(r"\b(?:INFO|DEBUG|WARNING|ERROR)\b")  # of a log's line
SHORTENED = re.compile(r"(?i)\b(avg|ave|num|std|max|min)\.(?=\s)")
UNITY = re.compile(
    rf"Step: (\d+)\. .{{0,60}}?(?:Mean Reward: ({NUMBER})|No episode was completed)", re.I
)
BRAIN = re.compile(r"([^\s:.\]]+)[.:] $")  # in front of it: the name of a behavior
LESSON = re.compile(r"Parameter '.*?' is in lesson")  # printed where one begins
ROWS = 3  # with a known figure, or known figures in one row, that tell a log from other text
STEPS = {
    "totaltimesteps": "total_timesteps",
    "totalsteps": "total_timesteps",
    "numtimesteps": "total_timesteps",
    "evalnumtimesteps": "total_timesteps",
    "timestepssofar": "total_timesteps",
    "totalnumframes": "total_timesteps",
    "frames": "total_timesteps",
    "globalstep": "global_step",
    "envstep": "total_timesteps",
    "iter": "iteration",
    "ts": "total_timesteps",
}
# What a library prints -> the tag that it writes, by a name that gives it away.
RSL_RL = {
    "valuefunctionloss": "Loss/value_function",
    "meanvaluefunctionloss": "Loss/value_function",
    "meanvalueloss": "Loss/value_function",
    "surrogateloss": "Loss/surrogate",
    "meansurrogateloss": "Loss/surrogate",
    "meanentropyloss": "Loss/entropy",
    "policyentropy": "Loss/entropy",
    "meanactionnoisestd": "Policy/mean_noise_std",
    "meanactionstd": "Policy/mean_noise_std",
    "meanreward": "Train/mean_reward",
    "meantotalreward": "Train/mean_reward",
    "meanepisodereward": "Train/mean_reward",
    "meanepisodelength": "Train/mean_episode_length",
}
CLEANRL = {
    "episodicreturn": "charts/episodic_return",
    "episodereward": "charts/episodic_return",
    "episodiclength": "charts/episodic_length",
    "sps": "charts/SPS",
}
PPO_PYTORCH = {"episode": "episode", "timestep": "timestep", "averagereward": "reward"}
TIANSHOU = {"rew": "train/reward", "len": "train/length"}
PRINTED = (
    (("meanactionnoisestd", "meanactionstd"), RSL_RL),
    (("episodicreturn",), CLEANRL),
    (("globalstep",), CLEANRL),
    (("rew",), TIANSHOU),
    (("timestep",), PPO_PYTORCH),
)


def read_console(file: Path) -> Series | None:
    """The boxes of a text file as a log, else its lines of figures; None where it has neither."""
    text = read_text(file)
    rows = _boxes(text)
    return of_rows(rows) if rows else read_printed(text)


def _boxes(text: str) -> list[dict[str, Any]]:
    """One row for each box that Stable-Baselines3, Baselines or Spinning Up printed.

    A line `| rollout/ | |` is the folder of the indented names below it. Text between the boxes
    is left out, and empty lines within one (pasted as Markdown); so is a box that is cut off so
    early that hardly a figure is left.
    """
    rows: list[dict[str, Any]] = []
    row: dict[str, Any] = {}
    folder = ""
    lines = text.splitlines()
    for number, line in enumerate([*lines, ""]):
        cells = CELLS.match(line)
        if cells is None and not line.strip(" >\t") and row and number < len(lines):
            continue
        if cells is None:
            if sum(map(is_number, row.values())) >= FIGURES:
                rows.append(row)
            row, folder = {}, ""
            continue
        name, value = cells[1].strip(), cells[2].strip()
        if not value and name.endswith("/"):
            folder = name
        elif name and value and not set(name) <= set("-: "):
            indented = len(cells[1]) - len(cells[1].lstrip()) > 1
            name = f"{folder}{name}" if indented else name
            if name in row:
                rows, row = [*rows, row], {}
            row[name] = plain_cell(value)
    return rows


def read_printed(text: str) -> Series | None:
    """The figures of a text as a log; None where hardly one of them is known."""
    text = DECORATION.sub("", text)
    if len(text) > LONG and read_printed(text[:LONG]) is None:
        return None
    unity = _unity(text)
    if unity is not None:
        return unity
    lines = SHORTENED.sub(r"\1", LEVEL.sub("|", text))
    for shape in (_grid, _lists, _rows, _words):
        if (found := _known(shape(lines if shape is _rows else text))) is not None:
            return found
    return None


def _known(printed: list[dict[str, Any]]) -> Series | None:
    """The rows that hold known figures as a log; None where there are too few of them."""
    rows = [_as_logged(row) for row in printed]
    known = {tag for _, names in PRINTED for tag in names.values()} - set(STEPS.values())
    counts = [sum(name in known or is_figure(name) for name in row) for row in rows]
    if max(counts, default=0) < ROWS and sum(count > 0 for count in counts) < ROWS:
        return None
    return of_rows([row for row, count in zip(rows, counts, strict=True) if count])


def _grid(text: str) -> list[dict[str, Any]]:
    """The rows of tables with a head, `| step | kl |`; of one trial where some are named."""
    rows: list[dict[str, Any]] = []
    head: list[str] = []
    for line in text.splitlines():
        if line.count("|") < COLUMNS:
            head = head if RULED.fullmatch(line) else []
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        figures = sum(map(is_number, cells))
        if not figures and not RULED.fullmatch(line):
            head = cells
        elif figures > 1 and len(cells) == len(head):
            rows.append(dict(zip(head, cells, strict=True)))
    trials = [row.get("Trial name") for row in rows]
    rows = [row for row, trial in zip(rows, trials, strict=True) if trial == trials[0]]
    return plain_rows(rows, "|")


def _rows(text: str) -> list[dict[str, Any]]:
    """Rows of names and numbers; a name that comes again begins the next one."""
    rows: list[dict[str, Any]] = [{}]
    folders: list[tuple[int, str]] = []
    for line in map(str.rstrip, text.splitlines()):
        if line.endswith(":") and (opened := FOLDER.match(line)):
            folders = [f for f in folders if f[0] < len(opened[1])] + [(len(opened[1]), opened[2])]
            continue
        indent = len(line) - len(line.lstrip())
        folders = [f for f in folders if f[0] < indent]
        path = "".join(f"{name}/" for _, name in folders)
        pairs = [("step", match[1]) for match in [AT_STEP.match(line)] if match]
        pairs += [(match[1], match[2]) for match in HEAD.finditer(line)]
        pairs += _pairs(line) if ":" in line or "=" in line else []
        for name, value in pairs:
            name = f"{path}{name}"
            if name in rows[-1]:
                rows.append({})
            rows[-1][name] = plain_cell(value)
    return [row for row in rows if any(map(is_number, row.values()))]


def _lists(text: str) -> list[dict[str, Any]]:
    """Rows of lists of numbers with a name in front: `returns = [21.5, 23.0, ...]`, one a line."""
    found: dict[str, list[str]] = {}
    for name, values in _pairs(text, LIST):
        name = re.sub(" per .*", "", name)
        if name in found:
            return []  # one of each batch: of something else
        found[name] = re.split(r"[\s,]+", values.strip())
    return spread(found)


def _words(text: str) -> list[dict[str, Any]]:
    """Rows of lines of names and numbers without a sign between them: `kl 0.01 | return 21.5`."""
    rows = []
    for line in text.splitlines():
        pairs = {name: plain_cell(value) for name, value in _pairs(line, BARE)}
        rows += [pairs] if len(pairs) >= COLUMNS else []
    return rows


def _pairs(line: str, values: re.Pattern[str] = VALUE) -> list[tuple[str, str]]:
    """Names and numbers of a line; each name is looked for in front of its number."""
    pairs, end = [], 0
    for value in values.finditer(line):
        named = BEFORE.search(line, max(end, value.start() - LONGEST), value.start())
        if named:
            pairs.append((named[1].strip(), value[1]))
        end = value.end()
    return pairs


def _as_logged(row: dict[str, Any]) -> dict[str, Any]:
    """A row under the tags that its library writes, and steps under one name."""
    words = {leaf(name) for name in row}
    names = next((names for marks, names in PRINTED if words & set(marks)), {})
    return {names.get(word := leaf(name)) or STEPS.get(word) or name: row[name] for name in row}


def _unity(text: str) -> Series | None:
    """The lines of ML-Agents, of the behavior that has most of them, with the settings above."""
    lines = list(UNITY.finditer(text))
    if not any(line[2] for line in lines):
        return None
    brains = [_brain(text, line.start()) for line in lines]
    most = max(brains, key=brains.count)
    lessons = np.array([lesson.start() for lesson in LESSON.finditer(text)])
    rows = [
        {
            "step": line[1],
            "Environment/Cumulative Reward": line[2],
            "Environment/Lesson Number": int((lessons < line.start()).sum()),
        }
        for line, brain in zip(lines, brains, strict=True)
        if brain == most
    ]
    series = of_rows(rows)
    series.counted = False
    series.texts["Hyperparameters"] = text
    return series


def _brain(text: str, place: int) -> str:
    found = BRAIN.search(text, max(place - LONGEST, 0), place)
    return found[1] if found else ""
