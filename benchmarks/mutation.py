"""Mutants of the code, each run against the tests of its room and the laws: which are not noticed.

    pip install -e .[test,mutation]
    python benchmarks/mutation.py --number 300 --out mutants.jsonl    # goes on where it was stopped
    python benchmarks/mutation.py --out mutants.jsonl --again         # its survivors, tests as now
    python benchmarks/mutation.py --out mutants.jsonl --report

The mutants are those of cosmic-ray. Rooms take turns; in each, places are drawn from `--seed`, and
at each place one mutant; what changes nothing but a type or a docstring is not counted. Each has a
process of its own, forked from one that has torch already, in a copy of the tree; the tests start
with those of its file, then the quickest, and stop at the first failure.
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
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("functional", "values", "losses", "algorithm", "networks", "envs")
COPIED = (
    "ppo", "tests", "examples", "docs", "benchmarks", "configs", "pyproject.toml", "config.yaml",
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "train_cli.py",
)  # fmt: skip
PATIENCE = 3.0  # times what the tests take without a mutant
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


def difference(path: Path, source: str) -> str:
    lines = difflib.unified_diff(
        (ROOT / path).read_text().splitlines(), source.splitlines(), lineterm="", n=0
    )
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


# ---- running tests


def tests_of(copy: Path, room: str) -> list[str]:
    """The test files of a room and the laws."""
    folders = (copy / "tests" / room, copy / "tests" / "laws")
    return [str(p.relative_to(copy)) for f in folders for p in sorted(f.glob("test_*.py"))]


def run_tests(copy: Path, files: list[str], limit: float, log: Path) -> tuple[str, float]:
    """What became of the tests (passed, failed, hung), and the seconds that they took."""
    started, pid = time.monotonic(), os.fork()
    if not pid:
        os.setpgid(0, 0)  # no session of its own: it would have a share of the CPU of its own
        os.chdir(copy)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        sys.path.insert(0, str(copy))
        os.environ["PYTHONPATH"] = str(copy)
        import pytest

        status = pytest.main(["-x", "-p", "no:cacheprovider", *files])
        os._exit(int(status))
    while time.monotonic() - started < limit:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        status = None
    try:
        os.killpg(pid, signal.SIGKILL)  # and what the tests left behind
    except ProcessLookupError:
        pass
    if status is None:
        os.waitpid(pid, 0)
    seconds = time.monotonic() - started
    if status is None:
        return "hung", seconds
    # Nothing fails where all tests are slow ones.
    return ("passed" if os.waitstatus_to_exitcode(status) in (0, 5) else "failed"), seconds


class Bench:
    """A copy of the tree, and how long each test file takes in it."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.copy, self.log, self.state = folder / "tree", folder / "log", state
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "results")
                shutil.copytree(source, self.copy / name, ignore=ignore)
            elif source.exists():
                shutil.copy(source, self.copy / name)
        self.seconds: dict[str, float] = json.loads(state.read_text()) if state.exists() else {}

    def measure(self, files: list[str]) -> None:
        """How long each file takes; those that fail without a mutant are left out."""
        for file in files:
            if file not in self.seconds:
                became, seconds = run_tests(self.copy, [file], 900.0, self.log)
                if became != "passed":
                    print(f"{file}: {became} without a mutant, left out", flush=True)
                self.seconds[file] = seconds if became == "passed" else -1.0
                self.state.write_text(json.dumps(self.seconds, indent=1))

    def files(self, path: Path) -> list[str]:
        """Test files for a mutant of `path`, in the order in which they run."""
        files = tests_of(self.copy, path.parts[1])
        self.measure(files)
        own = f"test_{path.stem.strip('_')}.py"
        known = [file for file in files if self.seconds[file] >= 0]
        return sorted(known, key=lambda file: (not file.endswith(own), self.seconds[file]))

    def judge(self, path: Path, source: str) -> tuple[str, float]:
        files = self.files(path)
        limit = 60.0 + PATIENCE * sum(self.seconds[file] for file in files)
        place = self.copy / path
        plain, times = place.read_bytes(), place.stat()
        try:
            place.write_text(source)
            return run_tests(self.copy, files, limit, self.log)
        finally:
            place.write_bytes(plain)
            os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))


# ---- the record


def read(out: Path) -> dict[str, dict[str, Any]]:
    """The last record of each mutant by its name."""
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    return {row["name"]: row for row in rows}


def report(rows: dict[str, dict[str, Any]]) -> None:
    rooms = sorted({row["file"].split("/")[1] for row in rows.values()})
    for room in [*rooms, ""]:
        chosen = [r for r in rows.values() if not room or r["file"].split("/")[1] == room]
        found = Counter(row["became"] for row in chosen)
        noticed = len(chosen) - found["passed"]
        print(
            f"{room or 'all':12} {noticed} of {len(chosen)} noticed ({noticed / len(chosen):.0%})"
        )
    for row in rows.values():
        if row["became"] == "passed":
            print(f"\n{row['name']} {row['file']}\n{row['diff']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS))
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--again", action="store_true", help="survivors alone")
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    if args.report:
        return report(read(args.out))
    sys.dont_write_bytecode = True  # a mutant's must not outlive it
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for name in PREPARE:
        __import__(name)
    rows = read(args.out)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.out.with_suffix(".seconds.json"))
        for path, source in drawn(args.rooms, args.number, args.seed):
            diff = difference(path, source)
            name = hashlib.sha256(f"{path}{diff}".encode()).hexdigest()[:8]
            if name in rows and not (args.again and rows[name]["became"] == "passed"):
                continue
            became, seconds = bench.judge(path, source)
            rows[name] = {"name": name, "file": str(path), "became": became,
                          "seconds": round(seconds, 1), "diff": diff}  # fmt: skip
            with args.out.open("a") as file:
                file.write(json.dumps(rows[name]) + "\n")
            print(f"{name} {path} {became} {seconds:.0f} s", flush=True)
    report(rows)


if __name__ == "__main__":
    main()
