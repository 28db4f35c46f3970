"""Helpers of other folders, and one process from which all trials are forked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "envs"), str(HERE.parent / "files")]


@pytest.fixture(scope="session")
def zygote():
    from zygote import Zygote

    with Zygote() as started:
        yield started
