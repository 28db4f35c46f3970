"""Whatever a file holds: a configuration, or lines that name the key or the place. Never more."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ppo.config import Config
from ppo.config.file import build
from ppo.config.source import read_bytes
from ppo.config.words import choices, known_paths, schema_at
from ppo.core.errors import UserError

SHIPPED = Config().to_yaml().encode()
KEYS = [path for path in known_paths(Config) if "." in path]
# The first line starts with file:line, or with the override as it was typed.
NAMED = re.compile(r"(config\.yaml:\d+(:\d+:)?( \S|: )|--set |config\.yaml: larger)")
NASTY = [
    "1e-3",
    ".nan",
    "-.inf",
    "-0",
    "010",
    "1:30",
    "yes",
    "9" * 400,
    "1e999",
    "[1, 2]",
    "{a: b}",
    "~",
    "true",
    '"0.2"',
    "*a",
    "&a 1",
    "!!str 1",
    "2020-01-01",
    "0x1F",
    "[[[",
    "''",
    "null",
    "1_000",
    "auto",
    "linear",
    "batch",
    "0.5",
    "3",
    "256",
    "-1",
    "1e6",
    "\t",
    "a: b",
    "%",
    "@",
    "| x",
    "> x",
]

scalars = st.one_of(
    st.sampled_from(NASTY),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=6),
)


@st.composite
def documents(draw: Any) -> str:
    """Sections with known and misspelt keys and values of any kind."""
    lines: list[str] = []
    for path in draw(st.lists(st.sampled_from(KEYS), max_size=6)):
        section, key = path.split(".")
        if draw(st.integers(0, 9)) == 0:
            key = draw(st.text(max_size=12))
        if f"{section}:" not in lines or draw(st.integers(0, 9)) == 0:
            lines.append(f"{section}:")
        where = lines.index(f"{section}:") + 1
        lines.insert(where, f"  {key}: {draw(scalars)}")
    return "\n".join(lines)


@st.composite
def plausible(draw: Any) -> str:
    """Documents that are mostly right, so that what is accepted is tried too."""
    lines: dict[str, dict[str, str]] = {}
    for path in draw(st.lists(st.sampled_from(KEYS), max_size=8)):
        section, key = path.split(".")
        default = known_paths(Config)[path].default
        words = choices(schema_at(Config, (section, key)) or {})
        values = [json.dumps(default)] * 2 + words * 2 + NASTY[:1]
        if isinstance(default, bool):
            values += ["true", "false"]
        elif isinstance(default, int):
            values += [str(default * 2), f"{default}.0", "-1"]
        elif isinstance(default, float):
            values += [repr(default / 2), "1e-3", "0.5"]
        lines.setdefault(section, {})[key] = draw(st.sampled_from(values))
    return "\n".join(
        f"{section}:\n" + "\n".join(f"  {key}: {value}" for key, value in keys.items())
        for section, keys in lines.items()
    )


@st.composite
def mutations(draw: Any) -> bytes:
    """The shipped file with a few bytes cut, replaced, doubled or inserted."""
    data = bytearray(SHIPPED)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        piece = draw(st.one_of(st.binary(max_size=6), st.sampled_from(NASTY).map(str.encode)))
        data[start : start + length] = piece
    return bytes(data)


def outcome(data: bytes, overrides: list[str]) -> Config | list[str]:
    """What loading gives; anything but a configuration or a UserError escapes."""
    began = time.process_time()
    try:
        return build(Config, read_bytes(data, "config.yaml"), overrides)
    except UserError as error:
        return error.messages
    finally:
        assert time.process_time() - began < 2.0


def check(data: bytes, overrides: list[str]) -> None:
    found = outcome(data, overrides)
    if isinstance(found, Config):
        text = found.to_yaml()
        assert outcome(text.encode(), []) == found
        return
    assert found and len(found) <= 21
    for line in found:
        assert line.isprintable() and len(line) < 500, line
    assert NAMED.match(found[0]), found[0]


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


overrides = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(KEYS), scalars).map("=".join),
        st.text(max_size=20),
    ),
    max_size=2,
)


@fuzz(150)
@given(documents(), overrides)
def test_any_document_is_read_or_refused_by_name(text: str, typed: list[str]) -> None:
    check(text.encode("utf-8", "surrogatepass"), typed)


@fuzz(150)
@given(plausible())
def test_a_plausible_document_is_read_or_refused_by_name(text: str) -> None:
    check(text.encode(), [])


@fuzz(150)
@given(mutations())
def test_a_damaged_file_is_read_or_refused_by_name(data: bytes) -> None:
    check(data, [])


@fuzz(100)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_by_name(data: bytes) -> None:
    check(data, [])


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(NASTY),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@fuzz(150)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), plain_values, max_size=3))
def test_arguments_of_an_environment_come_back_as_they_were(kwargs: dict[str, Any]) -> None:
    config = Config.from_dict({"env": {"kwargs": kwargs}})
    back = outcome(config.to_yaml().encode(), [])
    assert back == config
    assert isinstance(back, Config) and repr(back.env.kwargs) == repr(kwargs)  # 1 is not 1.0


@pytest.mark.slow
@fuzz(3_000)
@given(documents(), overrides)
def test_many_documents_are_read_or_refused_by_name(text: str, typed: list[str]) -> None:
    check(text.encode("utf-8", "surrogatepass"), typed)


@pytest.mark.slow
@fuzz(3_000)
@given(plausible())
def test_many_plausible_documents_are_read_or_refused_by_name(text: str) -> None:
    check(text.encode(), [])


@pytest.mark.slow
@fuzz(3_000)
@given(mutations())
def test_many_damaged_files_are_read_or_refused_by_name(data: bytes) -> None:
    check(data, [])


@pytest.mark.slow
@fuzz(1_000)
@given(st.binary(max_size=3000))
def test_many_bytes_are_read_or_refused_by_name(data: bytes) -> None:
    check(data, [])


def test_the_fuzzed_path_is_the_one_that_load_takes(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for data in (SHIPPED, b"ppo: {gamma: 3}", b"[", b"\xff"):
        file.write_bytes(data)
        try:
            assert Config.load(file) == outcome(data, [])
        except UserError as error:
            assert [line.replace(f"{tmp_path}/", "") for line in error.messages] == outcome(
                data, []
            )
