"""Signals ask; the second one leaves; a reader of the output that leaves ends nothing."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fault_shim import in_child

from ppo.core.signals import SignalGuard, say


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)],
)
def test_a_signal_asks_to_stop_and_gives_the_exit_status(number, status):
    outside = signal.signal(number, signal.SIG_DFL)  # under nohup SIGHUP is ignored
    try:
        with SignalGuard() as guard:
            assert not guard.stop_requested and guard.exit_status == 0
            signal.raise_signal(number)
            assert guard.stop_requested and guard.exit_status == status
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, outside)


def test_a_request_to_save_is_taken_once():
    with SignalGuard() as guard:
        assert not guard.take_save_request()
        signal.raise_signal(signal.SIGUSR1)
        assert guard.take_save_request() and not guard.take_save_request()
        assert not guard.stop_requested


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [("SIGINT", "SIGINT", 130), ("SIGTERM", "SIGTERM", 143), ("SIGTERM", "SIGINT", 130)],
)
def test_the_second_signal_leaves_at_once_and_takes_the_children(first, second, status):
    gate_out, gate_in = os.pipe()

    def work() -> None:
        context = multiprocessing.get_context("fork")
        worker = context.Process(target=signal.pause)
        with SignalGuard():
            worker.start()
            os.write(gate_in, str(worker.pid).encode())
            signal.raise_signal(getattr(signal, first))
            signal.raise_signal(getattr(signal, second))
            raise AssertionError("still here")

    assert in_child(work).status == status
    worker = int(os.read(gate_out, 20))
    assert is_gone(worker), "the worker outlived its trainer"


def is_gone(pid: int) -> bool:
    """Whether a process ends by itself; on a busy machine a killed one takes its time."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return False


def test_a_forked_worker_ignores_ctrl_c_and_obeys_termination():
    def work(number: int) -> None:
        with SignalGuard():
            if os.fork() == 0:
                signal.raise_signal(number)
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.wait()[1]))

    assert in_child(lambda: work(signal.SIGINT)).status == 0
    assert in_child(lambda: work(signal.SIGTERM)).status == 143


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalGuard() as guard:
            signal.raise_signal(signal.SIGHUP)
            assert not guard.stop_requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_come_back_after_an_error():
    before = {number: signal.getsignal(number) for number in (2, 15, 1, 10, 13)}
    with pytest.raises(ValueError), SignalGuard():
        raise ValueError
    assert {number: signal.getsignal(number) for number in before} == before


def test_outside_the_main_thread_it_does_nothing():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with SignalGuard() as guard:
            seen.append((signal.getsignal(signal.SIGINT), guard.stop_requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


def test_a_reader_that_leaves_does_not_end_the_training():
    code = (
        "from ppo.core.signals import SignalGuard, say\n"
        "import sys\n"
        "with SignalGuard():\n"
        "    for batch in range(100_000): say(f'batch {batch}')\n"
        "sys.exit(7)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    assert process.stdout.readline() == b"batch 0\n"
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 7 and errors == b""


def test_a_closed_stream_is_silence():
    stream = io.StringIO()
    say("a", stream)
    assert stream.getvalue() == "a\n"
    stream.close()
    say("b", stream)
