"""Puts the tables of benchmarks/results into the documents that show them.

    python benchmarks/fill_tables.py

In a document, `<!-- table NAME -->` and `<!-- end table -->` enclose the tables of results/NAME.md.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"<!-- table (\w+) -->\n.*?<!-- end table -->", re.DOTALL)


def tables(name: str) -> str:
    """The table lines of a results file; one blank line between two tables."""
    path = ROOT / "benchmarks" / "results" / f"{name}.md"
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line if line.startswith("|") else "" for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def fill(text: str) -> str:
    return PLACE.sub(
        lambda found: f"<!-- table {found[1]} -->\n{tables(found[1])}\n<!-- end table -->", text
    )


def main() -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text()
        if (filled := fill(text)) != text:
            path.write_text(filled)
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
