"""What a user wrote: YAML -> plain values, each with its place; and what is wrong with it.

The values are built from PyYAML's parser events, not by its constructors: no tag is ever acted
upon, no alias expanded, and depth and size are known before anything recurses.
"""

from __future__ import annotations

import codecs
import math
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from ppo.config.words import Path, dotted
from ppo.core.errors import UserError, one_line

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_ENTRIES = 20_000  # reading more than this would be felt
MAX_DIGITS = 300  # more than any float holds, fewer than what makes int() slow
MAX_SHOWN = 20  # a file of the wrong kind would otherwise print thousands of lines
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HINTS = {
    "found character that cannot start any token": "a tab, or one of @ ` %, cannot stand here:"
    " indent with spaces, quote the text",
    "mapping values are not allowed in this context": "a second ':' in one line, or wrong"
    " indentation; quote text that holds ': '",
}
_INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def scalar(text: str) -> Any:
    """The value of an unquoted word by the rules of YAML 1.2.

    YAML 1.1, which PyYAML reads by default, takes `1e-3` for text, `yes` for a boolean, `1:30` for
    ninety and `010` for eight. Here the first is a number, the next two are text, the last is
    refused.

    Raises:
        ValueError: it looks like a number but cannot be one; the text says why.
    """
    if text in _WORDS:
        return _WORDS[text]
    if re.fullmatch(r"[-+]?0[0-9_]+", text):
        raise ValueError(f"{text[:40]} may mean octal or decimal; write it without leading zeros")
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits is too large")
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)  # an overflow gives infinity, which is refused by key
    special = _SPECIAL.fullmatch(text)
    return float(special[1] + special[2]) if special else text


@dataclass
class Source:
    """Settings as read, where each was written, and the mistakes found so far.

    `places` maps the path of a key to `config.yaml:17` or to `--set ppo.gamma=2`.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    wrong: set[Path] = field(default_factory=set)  # the paths that mistakes were noted for

    def note(self, path: Path, text: str, place: str | None = None) -> None:
        """Notes a mistake at `path`, in one line behind its place and its key."""
        self.wrong.add(path)
        if place is None:
            place = self.place(path)
        name = "" if place.startswith("--") else f" {dotted(path)}".rstrip()
        self.mistakes.append(one_line(f"{place}{name}: {text}".lstrip()))

    def place(self, path: Path) -> str:
        """The place of the nearest enclosing key that has one, or nothing."""
        lengths = range(len(path), 0, -1)
        return next((self.places[path[:n]] for n in lengths if path[:n] in self.places), "")

    def is_wrong(self, path: Path) -> bool:
        """Whether a mistake was noted for this path, or for one around it."""
        return any(path[:length] in self.wrong for length in range(1, len(path) + 1))

    def raise_mistakes(self) -> None:
        """Raises one UserError with everything noted so far, if anything was."""
        if not self.mistakes:
            return
        lines = sorted(dict.fromkeys(self.mistakes), key=_line_number)
        more = [f"and {len(lines) - MAX_SHOWN} more mistakes"] if len(lines) > MAX_SHOWN else []
        raise UserError(*lines[:MAX_SHOWN], *more)


def _line_number(line: str) -> float:
    """Sorts a file's mistakes from top to bottom, those of the command line behind them."""
    found = None if line.startswith("--") else re.match(r".*?:(\d+)[: ]", line)
    return int(found[1]) if found else math.inf


# ---- text -> values


def parse(source: Source, text: str, place: Callable[[int], str], root: Path = ()) -> Any:
    """The value of YAML `text`; its places and its mistakes go into `source`.

    Args:
        place: names line n of the text, for messages.
        root: the path that the value will stand at.

    Raises:
        UserError: it is no YAML, or too deep or too long to go on.
    """
    try:
        return _Reader(source, place, yaml.parse(text, Loader=_LOADER)).document(root)
    except UnicodeEncodeError:  # bytes of the command line that are not UTF-8
        raise UserError(f"{place(1)}: not UTF-8 text") from None
    except yaml.YAMLError as error:
        found = _yaml_mistake(error, text, place)
        raise UserError(*source.mistakes[:MAX_SHOWN], found) from None


class _Reader:
    """Plain values from parser events; notes every mistake that does not stop the parser."""

    def __init__(self, source: Source, place: Callable[[int], str], events: Iterator[Any]) -> None:
        self.source, self.place, self.events = source, place, events
        self.entries = 0

    def document(self, root: Path) -> Any:
        value, documents = None, 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._note(event, root, "a second document; keep one, without `---`")
                    break
                value = self._node(next(self.events), root, 0)
        return value

    def _node(self, event: Any, path: Path, depth: int) -> Any:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            text = f"more than {MAX_ENTRIES:,} entries; this is no configuration"
            raise UserError(f"{self._at(event)}: {text}")
        if isinstance(event, yaml.AliasEvent):
            self._note(event, path, f"alias *{str(event.anchor)[:40]} is not allowed; write it out")
            return None
        self._refuse_marks(event, path)
        if isinstance(event, yaml.ScalarEvent):
            try:
                return scalar(event.value) if event.implicit[0] else event.value
            except ValueError as error:
                return self._note(event, path, str(error))
        if depth == MAX_DEPTH:
            raise UserError(f"{self._at(event)}: {TOO_DEEP}")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth + 1)
        items: list[Any] = []
        while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
            inner = (*path, len(items))
            self.source.places[inner] = self._at(item)
            items.append(self._node(item, inner, depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._note(event, path, "a key must be a word")
                self._node(event, path, depth)
                self._node(next(self.events), path, depth)
                continue
            inner = (*path, event.value)
            self._refuse_marks(event, inner)
            if event.value in found:
                self._note(event, inner, f"given twice; first at {self.source.places[inner]}")
            else:
                self.source.places[inner] = self._at(event)
            found[event.value] = self._node(next(self.events), inner, depth)
        return found

    def _refuse_marks(self, event: Any, path: Path) -> None:
        anchor = None if event.anchor is None else f"anchor &{event.anchor[:40]}"
        tag = None if event.tag is None else f"tag {str(event.tag)[:60]}"
        for mark in filter(None, (anchor, tag)):
            self._note(event, path, f"{mark} is not allowed; leave it out")

    def _at(self, event: Any) -> str:
        return self.place(event.start_mark.line + 1)

    def _note(self, event: Any, path: Path, text: str) -> None:
        self.source.note(path, text, self._at(event))


def _yaml_mistake(error: yaml.YAMLError, text: str, place: Callable[[int], str]) -> str:
    """A parser error in one line, with a hint for the common ones."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        line = text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
        return f"{place(line)}: holds a control character; save the file as plain text"
    where, problem = place(mark.line + 1), str(getattr(error, "problem", "") or error)
    if "nesting depth" in problem:  # PyYAML's own limit, from 6.0.4 on
        return f"{where}: {TOO_DEEP}"
    where = where if where.startswith("--") else f"{where}:{mark.column + 1}"
    return f"{where}: not valid YAML: {one_line(_HINTS.get(problem, problem))}"


# ---- files


def read_file(path: str | FilePath) -> Source:
    """What a configuration file holds.

    Raises:
        UserError: it cannot be read, or is not YAML.
    """
    name = one_line(str(path))
    return read_bytes(_bytes_of(FilePath(path), name), name)


def read_bytes(data: bytes, name: str) -> Source:
    """What the bytes of a configuration file of this name hold."""
    source = Source()

    def place(line: int) -> str:
        return f"{name}:{line}"

    value = parse(source, _decode(data, name), place)
    if value is not None and not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "a single value"
        wrong = f"{place(1)}: must be sections of `key: value` lines, not {kind}"
        raise UserError(*source.mistakes[:MAX_SHOWN], wrong)
    source.values = value or {}
    return source


def _bytes_of(path: FilePath, name: str) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{name}: is a folder; name the configuration file in it")
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise UserError(f"{name}: is not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{name}: no such file{_yaml_nearby(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{name}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{name}: larger than {MAX_BYTES:,} bytes; this is no configuration file")
    return data


def _yaml_nearby(path: FilePath) -> str:
    """The configuration files beside one that is missing."""
    try:
        found = sorted(file.name for file in path.parent.glob("[!.]*.yaml"))[:5]
    except OSError:
        return ""
    return f" (in that folder: {one_line(', '.join(found))})" if found else ""


def _decode(data: bytes, name: str) -> str:
    wide = data.startswith(
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    )  # written by some Windows shells
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{name}:{line}: holds a NUL character; save the file as UTF-8 text")
    return text
