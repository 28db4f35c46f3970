"""The package's own sources as syntax trees: what each module imports, and from where."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Source:
    """One module: its dotted name, its folder in the package, and what it imports."""

    def __init__(self, name: str, tree: ast.Module, is_package: bool) -> None:
        self.name, self.tree, self.is_package = name, tree, is_package
        for parent in ast.walk(tree):
            for child in ast.iter_child_nodes(parent):
                child.parent = parent  # type: ignore[attr-defined]

    @functools.cache  # noqa: B019 - the sources of a package live as long as the tests
    def imports(self, at_start_only: bool = False, types_too: bool = False) -> tuple[str, ...]:
        """Dotted names; `from a import b` gives a.b, which may be a module or a name in it.

        A name handed to importlib counts too; of an f-string, what stands before the first brace.

        Args:
            at_start_only: without what functions import when they are called.
            types_too: with what stands under TYPE_CHECKING.
        """
        return tuple(self._imports(at_start_only, types_too))

    def _imports(self, at_start_only: bool, types_too: bool) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
                continue
            around = list(_around(node))
            if not types_too and any(_is_type_checking(outer) for outer in around):
                continue
            functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
            if at_start_only and any(isinstance(outer, functions) for outer in around):
                continue
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from (f"{base}.{alias.name}" for alias in node.names)
            elif name := self._imported_by_name(node):
                yield name

    def _imported_by_name(self, call: ast.Call) -> str:
        """The literal start of what import_module or __import__ is called with, or ""."""
        called = ast.unparse(call.func).rpartition(".")[2]
        if called not in ("import_module", "__import__") or not call.args:
            return ""
        first = call.args[0]
        parts = first.values if isinstance(first, ast.JoinedStr) else [first]
        text = ""
        for part in parts:
            if isinstance(part, ast.FormattedValue) and ast.unparse(part.value) == "__name__":
                text += self.name
            elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                text += part.value
            else:
                break
        return text.rstrip(".")

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
