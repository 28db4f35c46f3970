"""One process from which all trials are forked."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def zygote():
    from zygote import Zygote

    with Zygote() as started:
        yield started
