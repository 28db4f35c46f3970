"""Mutants of the code, each run against the tests of its room and the laws: which are not noticed.

    pip install -e .[test,mutation]
    python benchmarks/mutation.py --number 300 --out mutants.jsonl    # goes on where it was stopped
    python benchmarks/mutation.py --out mutants.jsonl --again         # its survivors, tests as now
    python benchmarks/mutation.py --out mutants.jsonl --again NAME --tests tests/laws/test_cuts.py
    python benchmarks/mutation.py --out mutants.jsonl --report        # as Markdown

A survivor that has been looked at gets its `reason` in the file, written by hand.

The mutants are those of cosmic-ray. Rooms take turns; in each, places are drawn from `--seed`, and
at each place one mutant; what changes nothing but a type or a docstring is not counted. Each has a
process of its own, forked from one that has torch already, in a copy of the tree.

Which tests run which lines is recorded once (coverage.py, kept beside the results, some minutes).
A mutant then has the tests that run its line, the quickest first, up to the first failure or up to
`--budget` seconds of them; so the score is a lower bound. At the end the tests that failed are run
without a mutant: who fails then is named, and does not count. torch.compile is off.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import itertools
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mutation_bench import Bench

ROOT = Path(__file__).resolve().parents[1]
SURVIVED = ("passed", "not run")
ROOMS = ("functional", "values", "losses", "algorithm", "networks", "envs")
UNCHANGED = {"name", "newline", "string", "endmarker", "trailer", "arglist", "atom_expr", "suite"}
PREPARE = (
    "torch", "torch.func", "torch._dynamo", "torch.utils._pytree", "gymnasium", "numpy", "pytest",
    "hypothesis", "pydantic", "yaml", "scipy.stats", "safetensors.torch",
)  # fmt: skip


# ---- what a mutant is


class Bare(ast.NodeTransformer):
    """Leaves what a program does: no annotations, no docstrings."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self.generic_visit(self._without_docstring(node))

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return self.generic_visit(self._without_docstring(node))

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def _without_docstring(self, node: Any) -> Any:
        if ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.Pass()
        return node


def meaning(source: str) -> str:
    return ast.dump(Bare().visit(ast.parse(source)))


def places(path: Path) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """Where a file can be mutated (line, column): operators, each with its occurrence there."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    nodes = ast_nodes(get_ast(path.read_text()))
    tree = [node for node in nodes if node.type not in UNCHANGED]
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if not kind.arguments():
            starts = [start for node in tree for start, _ in kind().mutation_positions(node)]
            for occurrence, start in enumerate(starts):
                found.setdefault(start, []).append((name, occurrence))
    return found


def mutated(path: Path, name: str, occurrence: int) -> str | None:
    """The source with one change; None where a program is not changed by it."""
    from cosmic_ray import plugins
    from cosmic_ray.mutating import mutate_code

    source = path.read_text()
    found = mutate_code(source, plugins.get_operator(name)(), occurrence)
    try:
        return None if found is None or meaning(found) == meaning(source) else found
    except SyntaxError:
        return None


def drawn(rooms: list[str], number: int, seed: int) -> Iterator[tuple[Path, str]]:
    """File and mutated source of each mutant, one room after the other."""
    sources = [mutants(room, random.Random(f"{seed} {room}")) for room in rooms]
    every = itertools.chain.from_iterable(itertools.zip_longest(*sources))
    yield from itertools.islice(filter(None, every), number)


def mutants(room: str, draw: random.Random) -> Iterator[tuple[Path, str]]:
    """One mutant at each place of a room, in a drawn order."""
    paths = sorted((ROOT / "ppo" / room).rglob("*.py"))
    chosen = [(path, what) for path in paths for what in places(path).values()]
    draw.shuffle(chosen)
    for path, what in chosen:
        draw.shuffle(what)
        found = next(filter(None, (mutated(path, *operator) for operator in what)), None)
        if found is not None:
            yield path.relative_to(ROOT), found


def difference(path: Path, source: str) -> tuple[str, set[int]]:
    """The change to read, and the lines that it changes."""
    before, after = (ROOT / path).read_text().splitlines(), source.splitlines()
    lines = difflib.unified_diff(before, after, lineterm="", n=0)
    shown = [line for line in lines if not line.startswith(("---", "+++"))]
    changed: set[int] = set()
    for line in shown:
        if line.startswith("@@"):
            first, _, count = line.split()[1][1:].partition(",")
            changed |= set(range(int(first), int(first) + max(int(count or 1), 1)))
    return "\n".join(shown), changed


def applied(row: dict[str, Any]) -> tuple[str, set[int]] | None:
    """A recorded mutant in the tree as it is now; None where its code is there no longer."""
    lines = (ROOT / row["file"]).read_text().splitlines()
    changed: set[int] = set()
    for hunk in row["diff"].split("@@ -")[1:]:
        head, *body = hunk.splitlines()
        old = [line[1:] for line in body if line.startswith("-")]
        new = [line[1:] for line in body if line.startswith("+")]
        at = [i for i in range(len(lines)) if lines[i : i + len(old)] == old]
        if not at:
            return None
        wanted = int(head.split()[0].split(",")[0]) - 1
        start = min(at, key=lambda i: abs(i - wanted))
        lines[start : start + len(old)] = new
        changed |= set(range(start + 1, start + 1 + len(old)))
    return "\n".join(lines) + "\n", changed


# ---- the record


def read(out: Path) -> dict[str, dict[str, Any]]:
    """The last record of each mutant by its name."""
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    return {row["name"]: row for row in rows}


def write(out: Path, row: dict[str, Any], found: dict[str, Any]) -> None:
    first = row.get("first", row.get("became"))
    row |= found | ({"first": first} if first else {})
    with out.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(
        f"{row['name']} {row['file']} {row['became']} {row['seconds']:.0f} s {row['by']}",
        flush=True,
    )


def noticed(row: dict[str, Any]) -> bool:
    return row["became"] not in SURVIVED


def report(rows: dict[str, dict[str, Any]]) -> None:
    """Markdown: scores of rooms, survivors with their reasons, and which tests noticed since."""
    rooms = list(dict.fromkeys(row["file"].split("/")[1] for row in rows.values()))
    print("| room | mutants | noticed at first | equivalent | noticed now, of the others |")
    print("| --- | --- | --- | --- | --- |")
    for room in [*rooms, "all"]:
        chosen = [r for r in rows.values() if room in ("all", r["file"].split("/")[1])]
        first = sum(r.get("first", r["became"]) not in SURVIVED for r in chosen)
        same = sum(not noticed(r) and r.get("reason", "").startswith("equivalent") for r in chosen)
        now, others = sum(map(noticed, chosen)), len(chosen) - same
        scores = f"{first} ({first / len(chosen):.0%}) | {same} | {now} of {others}"
        print(f"| {room} | {len(chosen)} | {scores} ({now / max(others, 1):.0%}) |")
    survivors = [r | {"told": r.get("reason", "")} for r in rows.values() if not noticed(r)]
    since = [
        r | {"told": f"`{r['by'].split('[')[0]}`"}
        for r in rows.values()
        if noticed(r) and r.get("first") in SURVIVED
    ]
    for title, told, found in (
        ("Survivors", "reason", survivors),
        ("Noticed since", "test", since),
    ):
        print(f"\n## {title}\n\n| mutant | file | before | after | {told} |")
        print("| --- | --- | --- | --- | --- |")
        for row in found:
            before, after = around_the_change(row["diff"])
            print(f"| {row['name']} | `{row['file']}` | `{before}` | `{after}` | {row['told']} |")


def around_the_change(diff: str) -> tuple[str, str]:
    """What was and what became of it, with some characters to either side."""
    lines = diff.splitlines()
    old, new = (
        " ".join(filter(None, (line[1:].strip() for line in lines if line.startswith(sign))))
        for sign in "-+"
    )
    same = len(os.path.commonprefix([old, new]))
    rest = len(os.path.commonprefix([old[same:][::-1], new[same:][::-1]]))
    begin, more = max(0, same - 22), min(22, rest)
    old, new = (text[begin : len(text) - rest + more].replace("|", "\\|") for text in (old, new))
    return old, new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS))
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of tests a mutant")
    parser.add_argument("--again", nargs="*", metavar="NAME", help="these, or all survivors")
    parser.add_argument("--tests", nargs="+", default=[], help="with --again: these files alone")
    parser.add_argument("--leave-out", nargs="+", default=[], help="test files that take too long")
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    rows = read(args.out)
    if args.report:
        return report(rows)
    sys.dont_write_bytecode = True  # a mutant's must not outlive it
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "TORCHDYNAMO_DISABLE": "1"}
    for name in PREPARE:
        __import__(name)
    with tempfile.TemporaryDirectory() as folder:
        folders = Path(folder), args.out.with_suffix(".reach")
        bench = Bench(*folders, args.budget, args.tests, args.leave_out)
        if args.again is not None:
            for row in [r for r in rows.values() if r["became"] in SURVIVED]:
                if (not args.again or row["name"] in args.again) and (new := applied(row)):
                    write(args.out, row, bench.judge(Path(row["file"]), *new))
            return report(rows)
        for path, source in drawn(args.rooms, args.number, args.seed):
            diff, changed = difference(path, source)
            name = hashlib.sha256(f"{path}{diff}".encode()).hexdigest()[:8]
            if name not in rows:
                rows[name] = {"name": name, "file": str(path), "diff": diff}
                write(args.out, rows[name], bench.judge(path, source, changed))
        failing = bench.doubtful({row["by"] for row in rows.values()})
        for row in [row for row in rows.values() if row["by"] in failing]:
            write(args.out, row, {"became": "passed"})
    report(rows)


if __name__ == "__main__":
    main()
