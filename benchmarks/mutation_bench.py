"""Tests of a copy of the tree: which lines each runs, and what becomes of them with a mutant.

Used by benchmarks/mutation.py. coverage.py records the lines once, test by test; what a process
of its own runs is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "ppo", "tests", "examples", "docs", "benchmarks", "configs", "pyproject.toml", "config.yaml",
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "train_cli.py",
)  # fmt: skip
EVERY = "every test"
LONGEST, PATIENCE = 120.0, 10.0  # seconds, and times the CPU time of the tests: then it hangs


# ---- which tests run which lines


class Watcher:
    """A plugin of pytest: what each test runs, how long it takes, and whether it fails.

    What a fixture of a module runs is run by each test that asks for it.
    """

    def __init__(self, coverage: Any = None) -> None:
        self.coverage, self.contexts = coverage, [""]
        self.seconds: dict[str, float] = {}
        self.fixtures: dict[str, list[str]] = {}
        self.failed: list[str] = []

    def switch(self) -> None:
        if self.coverage is not None:
            self.coverage.switch_context(self.contexts[-1])

    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self.contexts = [item.nodeid]
        self.switch()
        started = time.process_time()  # whatever else the machine does
        yield
        self.seconds[item.nodeid] = round(time.process_time() - started, 3)
        self.fixtures[item.nodeid] = list(item.fixturenames)

    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        if fixturedef.scope != "function":
            self.contexts.append(f"fixture {fixturedef.argname}")
            self.switch()
        yield
        if fixturedef.scope != "function":
            self.contexts.pop()
            self.switch()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(f"import of {report.nodeid}")


class Chosen:
    """A plugin of pytest: the tests of a list alone, in its order; or `EVERY` one."""

    def __init__(self, tests: list[str]) -> None:
        self.place = {test: i for i, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if EVERY in self.place:
            return
        known = [item for item in items if item.nodeid in self.place]
        items[:] = sorted(known, key=lambda item: self.place[item.nodeid])


def own_lines(node: ast.stmt) -> set[int]:
    """Lines of a statement without those of the statements in it."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    lines = set(range(first, (node.end_lineno or first) + 1))
    for inner in ast.walk(node):
        if isinstance(inner, ast.stmt) and inner is not node:
            lines -= set(range(inner.lineno, (inner.end_lineno or inner.lineno) + 1))
    return lines


def lines_that_show(source: str, changed: set[int]) -> set[int]:
    """Lines whose run is a run of the changed ones: of their statement, of a function's body where
    its head is changed, of all functions of the file where what runs at import is changed."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree, shown, inside = ast.parse(source), set(), set()
    heads = {node: own_lines(node) for node in ast.walk(tree) if isinstance(node, functions)}
    for node in heads:
        inside |= {line for stmt in node.body for line in range(stmt.lineno, stmt.end_lineno + 1)}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and own_lines(node) & changed:
            if node in heads:
                shown |= set(range(node.body[0].lineno, (node.end_lineno or 0) + 1))
            elif node.lineno in inside:
                shown |= own_lines(node)
            else:
                shown |= inside
    return shown or inside


# ---- running tests


def tests_of(copy: Path, room: str) -> list[str]:
    """The test files of a room and the laws."""
    folders = (copy / "tests" / room, copy / "tests" / "laws")
    found = [str(p.relative_to(copy)) for f in folders for p in sorted(f.glob("test_*.py"))]
    return [file for file in found if not file.endswith("test_mutations.py")]


def run_tests(
    copy: Path, files: list[str], limit: float, log: Path, chosen: list[str] | None = None
) -> tuple[str, dict[str, Any]]:
    """What became of the tests (passed, failed, hung, crashed), and what was seen of them.

    Args:
        chosen: run these alone, up to the first failure; without it, record what each test runs.
            Where the list is empty, all is imported, and so compiled.
    """
    seen = log.with_suffix(".seen.json")
    seen.unlink(missing_ok=True)
    started, pid = time.monotonic(), os.fork()
    if not pid:
        try:
            os.setpgid(0, 0)  # no session of its own: it would have a share of the CPU of its own
            os.chdir(copy)
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1), os.dup2(out, 2)
            sys.path.insert(0, str(copy))
            os.environ["PYTHONPATH"] = str(copy)
            seen.write_text(json.dumps(in_this_process(copy, files, chosen)))
        finally:
            os._exit(0)
    while time.monotonic() - started < limit:
        if os.waitpid(pid, os.WNOHANG)[0]:
            became = "crashed"
            break
        time.sleep(0.02)
    else:
        became = "hung"
    try:
        os.killpg(pid, signal.SIGKILL)  # and what the tests left behind
    except ProcessLookupError:
        pass
    if became == "hung":
        os.waitpid(pid, 0)
    found = json.loads(seen.read_text()) if seen.exists() and seen.stat().st_size else {}
    if found:
        became = "failed" if found["failed"] else "passed"
    return became, {"took": time.monotonic() - started, "failed": [], **found}


def in_this_process(copy: Path, files: list[str], chosen: list[str] | None) -> dict[str, Any]:
    """Runs pytest, and returns which tests failed, the seconds of each, and the lines it ran."""
    import hypothesis
    import pytest

    hypothesis.settings.register_profile("same", deadline=None, derandomize=True, database=None)
    hypothesis.settings.load_profile("same")
    flags = ["-p", "no:cacheprovider", *files]
    sys.dont_write_bytecode = bool(chosen)  # what a mutant writes would outlive it
    if chosen is not None:
        watcher = Watcher()
        pytest.main(["-x", *flags], plugins=[hooked(watcher), Chosen(chosen)])
        return {"failed": watcher.failed, "seconds": watcher.seconds}
    from coverage import Coverage

    coverage = Coverage(data_file=None, config_file=False, include=[f"{copy}/ppo/*"])
    watcher = Watcher(coverage)
    coverage.start()
    pytest.main(flags, plugins=[hooked(watcher)])
    coverage.stop()
    data, lines = coverage.get_data(), {}
    for path in data.measured_files():
        found = data.contexts_by_lineno(path)
        lines[os.path.relpath(path, copy)] = {n: sorted(c) for n, c in found.items()}
    return {"failed": watcher.failed, "seconds": watcher.seconds,
            "fixtures": watcher.fixtures, "lines": lines}  # fmt: skip


def hooked(watcher: Watcher) -> Watcher:
    import pytest

    for name in ("pytest_runtest_protocol", "pytest_fixture_setup"):
        method = getattr(Watcher, name)
        setattr(Watcher, name, pytest.hookimpl(hookwrapper=True)(method))
    return watcher


class Bench:
    """A copy of the tree, which test runs which lines of it, and how long each takes."""

    def __init__(
        self, folder: Path, state: Path, budget: float, only: list[str], left_out: list[str]
    ) -> None:
        self.copy, self.log, self.state = folder / "tree", folder / "log", state
        self.budget, self.only, self.left_out = budget, only, left_out
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "results")
                shutil.copytree(source, self.copy / name, ignore=ignore)
            elif source.exists():
                shutil.copy(source, self.copy / name)
        self.recorded: set[str] = set()
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, dict[int, set[str]]] = {}
        state.mkdir(parents=True, exist_ok=True)
        laws = tests_of(self.copy, "laws")[: len(tests_of(self.copy, "laws")) // 2]
        if not only:
            run_tests(self.copy, laws, 600.0, self.log, [])  # which compiles most of ppo

    def record_all(self, files: list[str]) -> None:
        for file in files:
            if file not in self.recorded and (self.copy / file).is_file():
                self.record(file)
                self.recorded.add(file)

    def record(self, file: str) -> None:
        """Which lines each test of a file runs; those that fail without a mutant are left out."""
        digest = hashlib.sha256((self.copy / file).read_bytes()).hexdigest()[:8]
        kept = self.state / f"{file.replace('/', '.')}.{digest}.json"
        if not kept.exists():
            became, found = run_tests(self.copy, [file], 1200.0, self.log)
            print(f"{file}: {became} without a mutant, {found['took']:.0f} s", flush=True)
            kept.write_text(json.dumps(found))
        found = json.loads(kept.read_text())
        good = {t: s for t, s in found.get("seconds", {}).items() if t not in found["failed"]}
        self.seconds |= good
        asking: dict[str, set[str]] = {}  # tests by the fixtures that they ask for
        for test, fixtures in found.get("fixtures", {}).items():
            for name in fixtures:
                asking.setdefault(f"fixture {name}", set()).add(test)
        for path, lines in found.get("lines", {}).items():
            table = self.lines.setdefault(path, {})
            for line, contexts in lines.items():
                ran = set(contexts).union(*(asking.get(name, ()) for name in contexts))
                table.setdefault(int(line), set()).update(ran & good.keys())

    def files(self, path: Path) -> list[str]:
        return [f for f in tests_of(self.copy, path.parts[1]) if f not in self.left_out]

    def tests(self, path: Path, changed: set[int]) -> list[str]:
        """The tests of a room and of the laws that run the changed lines, quickest first."""
        files = self.files(path)
        table = self.lines.get(str(path), {})
        shown = lines_that_show((ROOT / path).read_text(), changed)
        inside = lines_that_show((ROOT / path).read_text(), set())
        if not any(table.get(line) for line in inside):  # it runs in processes of its own
            folder = str(path.parent)
            near = [
                t for p, lines in self.lines.items() if p.startswith(folder) for t in lines.values()
            ]
            found = set().union(*near)
        else:
            found = set().union(*(table.get(line, set()) for line in shown))
        own = f"test_{path.stem.strip('_')}.py::"
        found = {test for test in found if test.split("::")[0] in files and test in self.seconds}
        order = sorted(found, key=lambda t: self.seconds[t] / (3 if own in t else 1))
        spent = itertools.accumulate(self.seconds[test] for test in order)
        return [test for test, sum_ in zip(order, spent, strict=True) if sum_ <= self.budget]

    def judge(self, path: Path, source: str, changed: set[int]) -> dict[str, Any]:
        """What became of a mutant, by which test, after how many seconds, of how many tests."""
        if not self.only:
            self.record_all(self.files(path))
        tests = [EVERY] if self.only else self.tests(path, changed)
        if not tests:
            return {"became": "not run", "by": "", "seconds": 0.0, "tests": 0}
        became, found = self.with_mutant(path, source, tests)
        return {"became": became, "by": found["failed"][0] if found["failed"] else "",
                "seconds": round(found["took"], 1), "tests": len(tests)}  # fmt: skip

    def doubtful(self, noticed_by: set[str]) -> set[str]:
        """Which of these tests fail without a mutant too, run as they were with one."""
        self.record_all([test.split("::")[0] for test in sorted(noticed_by) if test])
        order = sorted(noticed_by & self.seconds.keys(), key=lambda test: self.seconds[test])
        failing: set[str] = set()
        while order and (found := self.run(order)[1]["failed"]):
            failing |= set(found)
            order = [test for test in order if test not in failing]
        return failing

    def run(self, tests: list[str]) -> tuple[str, dict[str, Any]]:
        files = self.only or list(dict.fromkeys(test.split("::")[0] for test in tests))
        limit = 5 * LONGEST if self.only else LONGEST
        limit += PATIENCE * sum(self.seconds.get(test, 0.0) for test in tests)
        return run_tests(self.copy, files, limit, self.log, tests)

    def with_mutant(self, path: Path, source: str, tests: list[str]) -> tuple[str, dict[str, Any]]:
        place = self.copy / path
        plain, times = place.read_bytes(), place.stat()
        try:
            place.write_text(source)
            return self.run(tests)
        finally:
            place.write_bytes(plain)
            os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
