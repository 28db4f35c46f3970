"""Kinds are found by what the modules of a package file, under the registry they name."""

from __future__ import annotations

import importlib
import sys

import pytest

from ppo.core.errors import UserError

PACKAGE = """
from ppo.core.registry import Registry

FRUITS = Registry("pantry", "fruit")
ROOTS = Registry("pantry", "root")
"""
FRUIT = """
from pantry import FRUITS

@FRUITS.register("pear")
def pear(): ...
"""
BOTH = """
from pantry import FRUITS, ROOTS

@FRUITS.register("apple")
def apple(): ...

@ROOTS.register("beet")
def beet(): ...
"""


@pytest.fixture
def pantry(tmp_path, monkeypatch):
    folder = tmp_path / "pantry"
    folder.mkdir()
    for name, text in {"__init__": PACKAGE, "pears": FRUIT, "market": BOTH}.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("pantry")
    for name in ("pantry", "pantry.pears", "pantry.market"):
        sys.modules.pop(name, None)


def test_every_module_of_the_package_is_read_and_each_registry_holds_its_own(pantry):
    assert pantry.FRUITS.names() == ["apple", "pear"]
    assert pantry.ROOTS.names() == ["beet"]
    assert pantry.FRUITS.get("pear").__module__ == "pantry.pears"


def test_a_kind_of_another_registry_is_unknown_and_the_message_names_what_is_sought(pantry):
    with pytest.raises(UserError, match=r"'beet' is no fruit in pantry .*known: apple, pear"):
        pantry.FRUITS.get("beet")


def test_two_kinds_of_one_name_are_a_mistake(pantry):
    with pytest.raises(AssertionError, match="fruit pear is filed twice"):
        pantry.FRUITS.names()
        pantry.FRUITS.register("pear")(None)
