"""The thirteen rooms of the package: each imports only rooms that stand before it in ROOMS.

Read from the sources, so that a wrong arrow fails here even where nothing executes it: imports
inside functions, for types alone, and by importlib count like any other.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sources import ROOT, Source, package

ROOMS = (
    "core config functional envs networks values losses algorithm "
    "runs insight policies training cli"
).split()
PARTS = {"envs", "networks", "values"}  # do not know each other
FACES = ["doctor", "testing"]  # few lines that hand on names; they may import every room
WITHOUT_TORCH = {"config", "runs", "insight"}  # reading runs starts at once,
NEEDS_TORCH = "ppo.runs.checkpoint"  # but for tensors
HEAVY = {"torch", "torchvision", "functorch"}


def room(name: str) -> str:
    """The room of a module: ppo.losses.value -> losses; empty for `ppo` itself."""
    return name.partition(".")[2].partition(".")[0]


def graph(sources: dict[str, Source], **options: bool) -> dict[str, set[str]]:
    """Which modules of ours each module imports; without itself and without `ppo`."""
    edges = {}
    for name, source in sources.items():
        targets = {module_of(found, sources) for found in source.imports(**options)}
        edges[name] = {target for target in targets if target and target not in ("ppo", name)}
    return edges


def module_of(name: str, sources: dict[str, Source]) -> str | None:
    """The module of the package that importing `name` loads, if it is one of ours."""
    while name and name not in sources:
        name = name.rpartition(".")[0]
    return name or None


def homeless(sources: dict[str, Source]) -> list[str]:
    """Modules that stand in no room."""
    known = {*ROOMS, *FACES, "", "__main__"}
    return [name for name in sources if room(name) not in known]


def wrong_arrows(sources: dict[str, Source]) -> list[str]:
    """Arrows to a room that stands later, and arrows between parts."""
    height = {name: i for i, name in enumerate([*ROOMS, *FACES])}
    found = []
    for name, targets in graph(sources, types_too=True).items():
        here = room(name)
        for target in sorted(targets):
            there = room(target)
            if here not in height or there not in height:
                continue
            upwards = height[there] > height[here]
            between = here != there and {here, there} <= PARTS
            if upwards or between:
                found.append(f"{name} -> {target}")
    return found


def circles(sources: dict[str, Source]) -> list[str]:
    """Modules that import each other, at the start or inside functions, but for a folder's face.

    A module may import the `__init__` of its own folder to register itself there.
    """
    edges = {
        name: {target for target in targets if not name.startswith(f"{target}.")}
        for name, targets in graph(sources, types_too=True).items()
    }
    return [ways[name] for name in sources if name in (ways := reached(name, edges))]


def reached(start: str, edges: dict[str, set[str]]) -> dict[str, str]:
    """Every module that `start` imports, directly or not, with the way there."""
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


# ---- the package as it is


def test_every_module_stands_in_a_room_and_every_room_exists() -> None:
    assert homeless(package()) == []
    assert {room(name) for name in package()} >= set(ROOMS)


def test_the_root_of_the_package_is_narrow() -> None:
    entries = [path.name for path in (ROOT / "ppo").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 18, entries


def test_a_room_imports_only_rooms_that_stand_before_it() -> None:
    assert wrong_arrows(package()) == []


def test_modules_do_not_import_each_other_in_circles() -> None:
    assert circles(package()) == []


def test_reading_runs_never_imports_torch() -> None:
    sources = package()
    names = [name for name in sources if room(name) in WITHOUT_TORCH and name != NEEDS_TORCH]
    found = [way for name in names for way in heavy_imports(name, sources, at_start_only=False)]
    assert found == []


def test_the_command_line_starts_without_torch() -> None:
    sources = package()
    names = [name for name in sources if room(name) in ("cli", "__main__", "")]
    found = [way for name in names for way in heavy_imports(name, sources, at_start_only=True)]
    assert found == []


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
        {"losses__value": "import ppo.runs.files", "runs__files": ""},
        {"losses__value": "from ..runs import files", "runs__files": ""},
        {"losses__value": "def f():\n    from ppo.runs import files", "runs__files": ""},
        {"networks__a": "from ppo.values.scale import x", "values__scale": "x = 1"},
        {"envs__a": "if TYPE_CHECKING:\n    from ppo.algorithm.build import x",
         "algorithm__build": ""},
        {"runs__a": "import importlib\nimportlib.import_module('ppo.cli.main')", "cli__main": ""},
        {"runs__a": "from importlib import import_module\nimport_module(f'ppo.cli.{x}')",
         "cli__main": ""},
        {"runs__a": "__import__('ppo.cli.main')", "cli__main": ""},
    ],
)  # fmt: skip
def test_a_wrong_arrow_is_seen(tmp_path: Path, files: dict[str, str]) -> None:
    assert len(wrong_arrows(fake(tmp_path, **files))) == 1


def test_a_module_without_a_room_is_seen(tmp_path: Path) -> None:
    sources = fake(tmp_path, helper="", shed__tool="", core__errors="")
    assert homeless(sources) == ["ppo.helper", "ppo.shed", "ppo.shed.tool"]


def test_right_arrows_are_not_reported(tmp_path: Path) -> None:
    sources = fake(
        tmp_path,
        training__trainer="import ppo.algorithm.build, ppo.losses.value",
        algorithm__build="from ppo.losses.value import Value",
        losses__value="from ppo.losses.base import Term\nfrom ppo.functional import value",
        losses__base="from ppo.config import PPOConfig",
        functional__value="import torch",
        config__options="",
    )
    assert wrong_arrows(sources) == [] and circles(sources) == []


@pytest.mark.parametrize(
    "files",
    [
        {"runs__x": "import ppo.runs.y", "runs__y": "from ppo.runs import x"},
        {"runs__x": "import ppo.runs.y", "runs__y": "def f():\n    import ppo.runs.x"},
        {"runs__x": "import ppo.runs.y", "runs__y": "if TYPE_CHECKING:\n    import ppo.runs.x"},
        {"cli__x": "import importlib\nimportlib.import_module('ppo.cli.y')",
         "cli__y": "import ppo.cli.x"},
    ],
)  # fmt: skip
def test_a_circle_is_seen(tmp_path: Path, files: dict[str, str]) -> None:
    assert circles(fake(tmp_path, **files))


@pytest.mark.parametrize(
    "files",
    [
        {"insight__a": "import torch"},
        {"insight__a": "def f():\n    from torch import nn"},
        {"insight__a": "from ppo.core import data", "core__data": "from torch import Tensor"},
        {"runs__a": "import safetensors.torch"},
        {"": "import torch", "runs__a": ""},
    ],
)
def test_torch_where_runs_are_read_is_seen(tmp_path: Path, files: dict[str, str]) -> None:
    sources = fake(tmp_path, **files)
    names = [name for name in sources if room(name) in WITHOUT_TORCH]
    assert any(heavy_imports(name, sources, at_start_only=False) for name in names)
