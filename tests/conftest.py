"""Shared by all tests: one torch thread, so that results do not depend on the machine."""

import getpass
import os
import signal
import tempfile
from pathlib import Path

import pytest

# A shell that runs the tests in the background has them ignore Ctrl-C, and their children too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def state_folder(tmp_path_factory):
    """What this user's runs have imported is remembered there, also by the processes of tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True, scope="session")
def nobody_waits():
    import no_waiting

    end = no_waiting.begin()
    yield
    end()


@pytest.fixture(autouse=True, scope="session")
def compiled_code():
    """Where torch itself keeps it, and not among the caches of whoever tests."""
    folder = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def zygote():
    """One process from which all trials are forked."""
    from zygote import Zygote

    with Zygote() as started:
        yield started
