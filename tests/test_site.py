"""The documents build as a site without a warning, and its first page is the README."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_site_builds_with_strict_links(tmp_path):
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    first = (tmp_path / "site" / "index.html").read_text()
    assert (ROOT / "README.md").read_text().splitlines()[0].removeprefix("# ") in first
    assert "repository/benchmarks/results/value_explosion.png" in first
    assert (tmp_path / "site/repository/benchmarks/results/value_explosion.png").is_file()
    pages = {path.parent.name for path in (tmp_path / "site").glob("*/index.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= pages
