"""Shared by all tests: one torch thread, so that results do not depend on the machine."""

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)
