"""Nothing in the package loads data that can hold code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ppo

PACKAGE = Path(ppo.__file__).parent
MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
CALLS = {"eval", "exec", "compile", "torch.load", "yaml.load", "yaml.full_load", "yaml.unsafe_load",
         "os.system", "os.popen"}  # fmt: skip
KEYWORDS = {"allow_pickle", "shell"}


def violations(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(node.module or "")
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) in CALLS:
                found.append(ast.unparse(node.func))
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg in KEYWORDS and not off:
                    found.append(str(keyword.arg))
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_no_module_loads_code_as_data(path):
    assert violations(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from cloudpickle import loads", "torch.load(x)", "yaml.load(x, Loader=l)",
     "np.load(x, allow_pickle=True)", "eval('1')", "run(x, shell=True)"],
)  # fmt: skip
def test_the_check_finds_what_it_looks_for(source):
    assert violations(source)
