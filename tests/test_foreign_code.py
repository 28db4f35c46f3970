"""Nothing in the package can run foreign code, read from the sources."""

from __future__ import annotations

import ast

import pytest
from sources import Source, package

UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
UNSAFE_CALLS = {
    "torch.load", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.full_load_all",
    "yaml.unsafe_load", "yaml.unsafe_load_all", "eval", "exec", "builtins.eval", "builtins.exec",
    "os.system", "os.popen", "pandas.read_pickle", "numpy.core.multiarray.scalar",
}  # fmt: skip
UNSAFE_KEYWORDS = {"allow_pickle", "shell"}


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


# A factory of the user's goes to the worker processes that this process starts, and what a run
# compiles to the process beside it, both through a pipe.
ALLOWED = ["ppo.core.companion: pickle", "ppo.envs.portable: cloudpickle"]


def test_nothing_in_the_package_runs_foreign_code() -> None:
    assert [what for source in package().values() for what in unsafe(source)] == ALLOWED


# ---- the check sees what it is for


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
