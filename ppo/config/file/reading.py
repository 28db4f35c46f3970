"""Bytes of a YAML file -> a tree of plain values, each with its line.

The tree is built from the parser's events, not by a YAML constructor: no tag is ever acted upon,
no alias expanded, and depth and size are known before anything recurses.
"""

from __future__ import annotations

import codecs
import stat
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

import yaml

from ppo.config.file.mistakes import MAX_SHOWN, Path, Tree, dotted, one_line
from ppo.config.file.scalars import resolve
from ppo.core.errors import UserError

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
MAX_ENTRIES = 20_000  # reading more than this would be felt

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HINTS = {
    "found character that cannot start any token": "a tab, or one of @ ` %, cannot stand here:"
    " indent with spaces, quote the text",
    "mapping values are not allowed in this context": "a second ':' in one line, or wrong"
    " indentation; quote text that holds ': '",
}


def read_file(path: str | FilePath) -> Tree:
    """The tree of a configuration file.

    Raises:
        UserError: it cannot be read, or is not YAML.
    """
    name = one_line(str(path))
    return parse(_decode(_read_bytes(FilePath(path), name), name), lambda line: f"{name}:{line}")


def parse(text: str, place: Callable[[int], str]) -> Tree:
    """The tree of YAML text whose root is a mapping (or nothing).

    Args:
        place: names line n of the text, for messages.
    """
    value, tree = parse_value(text, place)
    if value is not None and not isinstance(value, dict):
        wrong = f"{place(1)}: must be sections of `key: value` lines, not {_kind(value)}"
        raise UserError(*tree.mistakes[:MAX_SHOWN], wrong)
    tree.values = value or {}
    return tree


def parse_value(text: str, place: Callable[[int], str], root: Path = ()) -> tuple[Any, Tree]:
    """Any YAML value, with the tree that holds the places of its keys below `root`."""
    tree = Tree()
    builder = _Builder(tree, place)
    try:
        value = builder.document(yaml.parse(text, Loader=_LOADER), root)
    except UnicodeEncodeError:  # bytes of the command line that are not UTF-8
        raise UserError(f"{place(1)}: not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise UserError(*tree.mistakes[:MAX_SHOWN], _yaml_mistake(error, text, place)) from None
    return value, tree


def _read_bytes(path: FilePath, name: str) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{name}: is a folder; name the configuration file in it")
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise UserError(f"{name}: is not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{name}: no such file{_yaml_nearby(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{name}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{name}: larger than {MAX_BYTES:,} bytes; this is no configuration file")
    return data


def _yaml_nearby(path: FilePath) -> str:
    """The configuration files beside one that is missing."""
    try:
        found = sorted(file.name for file in path.parent.glob("*.yaml"))[:5]
    except OSError:
        return ""
    return f" (in that folder: {one_line(', '.join(found))})" if found else ""


def _decode(data: bytes, name: str) -> str:
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"  # what `>` writes in some Windows shells
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{name}:{line}: holds a NUL character; save the file as UTF-8 text")
    return text


class _Builder:
    """Plain values from parser events; notes every mistake that does not stop the parser."""

    def __init__(self, tree: Tree, place: Callable[[int], str]) -> None:
        self.tree = tree
        self.place = place
        self.depth = 0
        self.entries = 0

    def document(self, events: Iterator[Any], root: Path) -> Any:
        documents = 0
        value = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._note(event, root, "a second document; keep one, without `---`")
                    return value
                value = self._node(next(events), events, root)
        return value

    def _node(self, event: Any, events: Iterator[Any], path: Path) -> Any:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise UserError(
                f"{self._at(event)}: more than {MAX_ENTRIES:,} entries; this is no configuration"
            )
        if isinstance(event, yaml.AliasEvent):
            self._note(event, path, f"alias *{str(event.anchor)[:40]} is not allowed; write it out")
            return None
        if event.anchor is not None:
            self._note(event, path, f"anchor &{event.anchor[:40]} is not allowed; leave it out")
        if event.tag is not None:
            self._note(event, path, f"tag {str(event.tag)[:60]} is not allowed; leave it out")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UserError(f"{self._at(event)}: {TOO_DEEP}")
        mapping = isinstance(event, yaml.MappingStartEvent)
        value = self._mapping(events, path) if mapping else self._sequence(events, path)
        self.depth -= 1
        return value

    def _scalar(self, event: Any, path: Path) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            return resolve(event.value)
        except ValueError as error:
            self._note(event, path, str(error))
            return None

    def _sequence(self, events: Iterator[Any], path: Path) -> list[Any]:
        values: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            self.tree.places[(*path, len(values))] = self._at(event)
            values.append(self._node(event, events, (*path, len(values))))
        return values

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                self._note(event, path, "a key must be a word")
                self._node(event, events, path)
                self._node(next(events), events, path)
                continue
            key, inner = event.value, (*path, event.value)
            if event.anchor is not None or event.tag is not None:
                self._note(event, inner, "anchors and tags are not allowed; leave them out")
            if key in values:
                self._note(event, inner, f"given twice; first at {self.tree.places[inner]}")
            else:
                self.tree.places[inner] = self._at(event)
            values[key] = self._node(next(events), events, inner)
        return values

    def _at(self, event: Any) -> str:
        return self.place(event.start_mark.line + 1)

    def _note(self, event: Any, path: Path, text: str) -> None:
        name = f" {dotted(path)}" if path and not self._at(event).startswith("--") else ""
        self.tree.mistakes.append(f"{self._at(event)}{name}: {one_line(text)}")


def _yaml_mistake(error: yaml.YAMLError, text: str, place: Callable[[int], str]) -> str:
    """A parser error in one line, with a hint for the common ones."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        problem = str(getattr(error, "problem", "") or error)
        problem = _HINTS.get(problem, problem)
        where = place(mark.line + 1)
        if "nesting depth" in problem:  # PyYAML's own limit, from 6.0.4 on
            return f"{where}: {TOO_DEEP}"
        where = where if where.startswith("--") else f"{where}:{mark.column + 1}"
        return f"{where}: not valid YAML: {one_line(problem)}"
    position = getattr(error, "position", 0) or 0
    where = place(text.count("\n", 0, position) + 1)
    return f"{where}: holds a control character; save the file as plain text"


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a single value"
