"""What the documents name exists: links, paths of the tree, modes."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

import ppo
from ppo.cli import modes
from ppo.config import Config
from ppo.core.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w/.-])(?:ppo|tests|benchmarks|configs|docs)/[\w/.-]*\w(?![\w<*])")
PLACEHOLDER = re.compile(r"<|\*")
COMMAND = re.compile(r"^\s*(?:\$ )?(?:\S*python )?(?:train_cli\.py|ppo) (.*)$", re.MULTILINE)
MODE = re.compile(r"--mode ([a-z_]+)")


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def dead_links(page: Path) -> list[str]:
    """The relative links of a page whose file or heading does not exist."""
    dead = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, heading = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (heading and heading not in anchors(target)):
            dead.append(link)
    return dead


def refused(command: str) -> str:
    """Why the command line does not take the words after `train_cli.py`; nothing if it does."""
    line = command.split("  #")[0].split(" | ")[0].split(" > ")[0].split(" && ")[0].rstrip("\\& ")
    if PLACEHOLDER.search(line) or re.search(r"\b[A-Z]{3,}\b|\.\.\.|\[-", line):
        return ""  # not to be typed as it stands
    try:
        words = shlex.split(line, comments=True)
        mode = MODE.search(line)
        args, _ = import_module("ppo.cli.main").parse(words, mode[1] if mode else modes.DEFAULT)
        Config.load(None, getattr(args, "overrides", []))
    except UserError as error:
        return f"{line}: {error}"
    return ""


def dead_paths(text: str) -> list[str]:
    """Paths of the tree that a text names and that do not exist."""
    words = [word for word in text.split() if not PLACEHOLDER.search(word)]
    return [path for path in PATH.findall(" ".join(words)) if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_path_and_mode_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert dead_links(page) == []
    assert dead_paths(text) == []
    assert [
        found for found in map(refused, COMMAND.findall(text.replace("\\\n", " "))) if found
    ] == []
    assert [mode for mode in MODE.findall(text) if mode not in modes.names()] == []


def test_what_does_not_exist_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading\n[a](#a-heading) [b](#another) [c](missing.md) [d](page.md)\n")
    assert dead_links(page) == ["#another", "missing.md"]
    assert "unknown flag" in refused("--mode train --resum latest")
    assert "unknown" in refused("--mode train --set ppo.gama=1")
    assert dead_paths("`ppo/core/metrics.py`, ppo/rules/ and tests/<room>/x.py") == ["ppo/rules"]


def test_the_reference_has_every_public_name() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    entries = re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)
    for entry in entries:
        module, _, name = entry.rpartition(".")
        assert name in vars(import_module(module)) or import_module(entry), entry
    homes = {f"{home.__module__}.{name}" for name in ppo.__all__ for home in [getattr(ppo, name)]}
    lacking = {
        home
        for home in homes
        if not any(home == entry or home.startswith(f"{entry}.") for entry in entries)
    }
    assert lacking == set()
