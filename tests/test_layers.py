"""The arrows between modules point one way, and nothing in the package can run foreign code.

Read from the sources by `ast`, so a wrong arrow fails here even where nothing executes it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the bottom to the top. A module that stands in no row may be imported from anywhere, but
# what it imports counts as imported by whoever imports it: see `reached`.
LAYERS = [
    {"errors", "registry", "metrics", "config", "settings_file"},
    {"run_folder", "run_names", "files", "metrics_log", "episodes_log"},
    {"rules", "doctor", "comparison", "report"},  # read runs, and nothing of the trainer
    {"functional"},
    {"data", "parallel"},
    {
        "envs", "value_scales", "value_clips", "value_heads", "advantage_scales", "losses",
        "balancers", "encoders", "memories", "normalizer", "distributions", "agent", "schedules",
    },
    {"objective", "collect", "targets", "update", "recorder", "checkpoint"},
    {"build", "loop", "console"},
    {"modes", "cli", "__main__"},
]  # fmt: skip
PARTS = LAYERS[5]
# Reading runs: these start at once, because none of them waits for torch.
SIDE_WING = {
    "run_folder", "run_names", "files", "metrics_log", "episodes_log", "rules", "doctor",
    "comparison", "report", "logs", "settings_file", "config", "errors", "registry", "console",
}  # fmt: skip
HEAVY = {"torch", "torchvision", "functorch"}

UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
UNSAFE_CALLS = {
    "torch.load", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.full_load_all",
    "yaml.unsafe_load", "yaml.unsafe_load_all", "eval", "exec", "builtins.eval", "builtins.exec",
    "os.system", "os.popen", "pandas.read_pickle", "numpy.core.multiarray.scalar",
}  # fmt: skip
UNSAFE_KEYWORDS = {"allow_pickle", "shell"}


class Source:
    """One module: its dotted name, its folder in the package, and what it imports."""

    def __init__(self, name: str, tree: ast.Module, is_package: bool) -> None:
        self.name, self.tree, self.is_package = name, tree, is_package
        for parent in ast.walk(tree):
            for child in ast.iter_child_nodes(parent):
                child.parent = parent  # type: ignore[attr-defined]

    def imports(self, at_start_only: bool = False, types_too: bool = False) -> Iterator[str]:
        """Dotted names; `from a import b` gives a.b, which may be a module or a name in it."""
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            around = list(_around(node))
            if not types_too and any(_is_type_checking(outer) for outer in around):
                continue
            functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
            if at_start_only and any(isinstance(outer, functions) for outer in around):
                continue
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            else:
                base = self._base(node)
                yield from (f"{base}.{alias.name}" for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parts, *([node.module] if node.module else [])])


def _around(node: ast.AST) -> Iterator[ast.AST]:
    while hasattr(node, "parent"):
        node = node.parent
        yield node


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@functools.cache
def package(root: Path = ROOT) -> dict[str, Source]:
    """Every module of the package by its dotted name."""
    found = {}
    for file in sorted((root / "ppo").rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        found[name] = Source(name, tree, is_package)
    return found


def module_of(name: str, sources: dict[str, Source]) -> str | None:
    """The module of the package that importing `name` loads, if it is one of ours."""
    while name and name not in sources:
        name = name.rpartition(".")[0]
    return name or None


def group(name: str) -> str:
    """ppo.losses.value -> losses: what the rows above name."""
    return name.split(".")[1] if "." in name else name


def graph(sources: dict[str, Source], **options: bool) -> dict[str, set[str]]:
    """Which modules of ours each module imports; without itself and without `ppo`."""
    edges = {}
    for name, source in sources.items():
        targets = (module_of(found, sources) for found in source.imports(**options))
        edges[name] = {target for target in targets if target and target not in ("ppo", name)}
    return edges


def reached(start: str, edges: dict[str, set[str]], stop_at_rows: bool = False) -> dict[str, str]:
    """Every module that `start` imports, directly or not, with the way there.

    With `stop_at_rows` a module that stands in a row of LAYERS is not looked into: its own
    arrows are judged where it is the start.
    """
    rows = set().union(*LAYERS)
    ways: dict[str, str] = {}
    todo = [(start, start)]
    while todo:
        name, way = todo.pop()
        for target in sorted(edges[name] - ways.keys() - {start}):
            ways[target] = f"{way} -> {target}"
            if not (stop_at_rows and group(target) in rows):
                todo.append((target, ways[target]))
    return ways


def wrong_arrows(sources: dict[str, Source]) -> list[str]:
    """Arrows upwards, and arrows between parts."""
    edges = graph(sources, types_too=True)
    rank = {name: height for height, row in enumerate(LAYERS) for name in row}
    found = []
    for name in sources:
        here = group(name)
        if here not in rank:
            continue
        for target, way in reached(name, edges, stop_at_rows=True).items():
            there = group(target)
            if rank.get(there, -1) > rank[here] and name not in ("ppo.settings_file.__main__",):
                found.append(f"upwards: {way}")
            if here in PARTS and there in PARTS and here != there:
                found.append(f"between parts: {way}")
    return found


def cycles(sources: dict[str, Source]) -> list[str]:
    """Modules that import each other before either of them is ready.

    A module of a plural folder may import the folder's `__init__` to register itself; the
    `__init__` may not import it back at its start.
    """
    edges = graph(sources, at_start_only=True)
    return [ways[name] for name in sources if name in (ways := _all_ways(name, edges))]


def _all_ways(start: str, edges: dict[str, set[str]]) -> dict[str, str]:
    ways: dict[str, str] = {}
    todo = [(start, start)]
    while todo:
        name, way = todo.pop()
        for target in sorted(edges[name] - ways.keys()):
            ways[target] = f"{way} -> {target}"
            todo.append((target, ways[target]))
    return ways


def heavy_imports(name: str, sources: dict[str, Source], at_start_only: bool) -> list[str]:
    """How `name` comes to import torch, directly or through other modules of ours."""
    edges = graph(sources, at_start_only=at_start_only)
    ways = {name: name, "ppo": "ppo"} | reached(name, edges)
    found = []
    for target, way in ways.items():
        # `import ppo` runs only what stands at the start of its __init__.
        start_only = at_start_only or target == "ppo"
        for imported in sources[target].imports(at_start_only=start_only):
            if imported.split(".")[0] in HEAVY or imported.startswith("safetensors.torch"):
                found.append(f"{way} -> {imported}")
    return found


def unsafe(source: Source) -> list[str]:
    """What can run code that stands in a file, or a command that stands in a string."""
    names = _aliases(source)
    found = [name for name in source.imports() if name.split(".")[0] in UNSAFE_MODULES]
    found += [name for name in names.values() if name in UNSAFE_CALLS]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute | ast.Name):
            head, dot, rest = ast.unparse(node).partition(".")
            full = f"{names.get(head, head)}{dot}{rest}"
            if full in UNSAFE_CALLS:
                found.append(full)
        if isinstance(node, ast.keyword) and node.arg in UNSAFE_KEYWORDS:
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                found.append(f"{node.arg}={ast.unparse(node.value)}")
    return [f"{source.name}: {what}" for what in found]


def _aliases(source: Source) -> dict[str, str]:
    """What each imported name stands for: {"np": "numpy", "load": "torch.load"}."""
    names: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.split(".")[0]: alias.asname and alias.name
                      or alias.name.split(".")[0] for alias in node.names}  # fmt: skip
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


# ---- the package as it is


def test_no_arrow_points_upwards_and_parts_do_not_know_each_other() -> None:
    assert wrong_arrows(package()) == []


def test_modules_do_not_import_each_other_in_circles() -> None:
    assert cycles(package()) == []


def test_the_side_wing_never_imports_torch() -> None:
    sources = package()
    wing = [name for name in sources if group(name) in SIDE_WING]
    assert wing, "the side wing is empty: are its names still right?"
    found = [way for name in wing for way in heavy_imports(name, sources, at_start_only=False)]
    assert found == []


def test_the_command_line_starts_without_torch() -> None:
    sources = package()
    names = [name for name in sources if group(name) in ("modes", "cli", "__main__", "ppo")]
    found = [way for name in names for way in heavy_imports(name, sources, at_start_only=True)]
    assert found == []


def test_nothing_in_the_package_runs_foreign_code() -> None:
    assert [what for source in package().values() for what in unsafe(source)] == []


# ---- the checks see what they are for


def fake(tmp_path: Path, **files: str) -> dict[str, Source]:
    """A package of the given modules; a double underscore in a name is a folder."""
    for name, text in ({"": ""} | files).items():
        path = tmp_path / "ppo" / (name.replace("__", "/") or "__init__")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.with_suffix(".py").write_text(text)
    return package(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        {"functional__x": "from ppo.losses import value", "losses__value": ""},
        {"losses__value": "import ppo.envs.base", "envs__base": ""},
        {"losses__value": "from ..envs import base", "envs__base": ""},
        {"losses__value": "def f():\n    from ppo import agent", "agent": ""},
        {"losses__value": "from ppo import helper", "helper": "import ppo.loop", "loop": ""},
        {"data": "from ppo.helper import x", "helper": "from ppo.agent import x", "agent": "x = 1"},
        {"agent": "if TYPE_CHECKING:\n    from ppo.build import Parts", "build": ""},
    ],
)
def test_a_wrong_arrow_is_seen(tmp_path: Path, files: dict[str, str]) -> None:
    assert len(wrong_arrows(fake(tmp_path, **files))) == 1


def test_right_arrows_are_not_reported(tmp_path: Path) -> None:
    sources = fake(
        tmp_path,
        loop="import ppo.build, ppo.losses.value",
        build="from ppo.losses.value import Value",
        losses__value="from ppo.losses.base import Term\nfrom ppo.functional import value",
        losses__base="from ppo.config import PPOConfig",
        functional__value="import torch",
        config="",
    )
    assert wrong_arrows(sources) == [] and cycles(sources) == []


def test_a_circle_is_seen_and_a_late_import_is_none(tmp_path: Path) -> None:
    assert cycles(fake(tmp_path / "a", x="import ppo.y", y="from ppo import x"))
    assert not cycles(fake(tmp_path / "b", x="import ppo.y", y="def f():\n    import ppo.x"))


@pytest.mark.parametrize(
    "files",
    [
        {"rules__a": "import torch"},
        {"rules__a": "def f():\n    from torch import nn"},
        {"doctor": "from ppo import data", "data": "from torch import Tensor"},
        {"report": "from ppo.helper import f", "helper": "import safetensors.torch"},
        {"": "import torch", "report": ""},
    ],
)
def test_torch_in_the_side_wing_is_seen(tmp_path: Path, files: dict[str, str]) -> None:
    sources = fake(tmp_path, **files)
    wing = [name for name in sources if group(name) in SIDE_WING]
    assert any(heavy_imports(name, sources, at_start_only=False) for name in wing)


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "import torch as th\nth.load('x', weights_only=True)",
        "from torch import load as read",
        "import yaml\nyaml.load(x, Loader=yaml.SafeLoader)",
        "from yaml import full_load",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=flag)",
        "eval('1')",
        "f = exec",
        "import subprocess\nsubprocess.run(c, shell=True)",
        "import os\nos.system('x')",
    ],
)
def test_unsafe_code_is_seen(text: str) -> None:
    assert unsafe(Source("ppo.x", ast.parse(text), False))


@pytest.mark.parametrize(
    "text",
    [
        "model.eval()",
        "np.load(f, allow_pickle=False)",
        "import yaml\nyaml.safe_load(x)\nyaml.parse(x)",
        "from safetensors.torch import load",
        "import json\njson.load(f)",
        "'torch.load and eval( in words'",
    ],
)
def test_safe_code_is_not_reported(text: str) -> None:
    assert unsafe(Source("ppo.x", ast.parse(text), False)) == []
