"""Workers killed during a training: replaced, and the run is the one that nobody touched."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
from trials import assert_readable, assert_same, command, result

from ppo.runs.folder import RunFolder

# Slow enough steps that kills can be spread: one death in 200 steps is a fault, four are too many.
MORE = {
    "env__id": "CartPole-v1", "env__backend": "async", "env__workers": 2, "env__num_envs": 4,
    "ppo__num_steps": 64, "evaluation__interval": 0,
}  # fmt: skip


def workers_of(pid: int) -> list[int]:
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            words = Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z" and b"ppo.envs.workers.worker" in words:
            found.append(int(entry))
    return found


def train_with_kills(zygote, results, batches, kills, spacing, draw):
    """Kills a random worker every so many batches; seconds from each kill to the next batch."""
    trial = zygote.start(command(results, batches, **MORE))
    seconds = []
    for number in range(1, kills + 1):
        assert trial.until("collect", number * spacing), trial.stderr
        time.sleep(draw.uniform(0.0, 0.02))
        workers = workers_of(trial.pid)
        if not workers:
            continue  # between the last one and its successor
        batch, begun = trial.entered("update"), time.monotonic()
        os.kill(draw.choice(workers), signal.SIGKILL)
        if trial.until("update", batch + 1):  # else it was over: nobody asked that worker again
            seconds.append(time.monotonic() - begun)
    status = trial.wait()
    assert status == 0, trial.stderr
    return seconds


def without_events(found):
    records = [record | {"events": []} for record in found["records"]]
    return found | {"records": records}


def check(zygote, tmp_path, kills, spacing):
    batches = spacing * kills + 20  # on a busy machine the last kill may come batches late
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert zygote.run(command(whole, batches * 4, **MORE))[0] == 0
    seconds = train_with_kills(zygote, killed, batches * 4, kills, spacing, random.Random(4))
    assert_readable(killed)
    assert_same(without_events(result(killed)), without_events(result(whole)))
    events = [e for r in RunFolder.open(killed, "latest").records() for e in r["events"]]
    told = [e for e in events if re.match(r"worker \d died \(SIGKILL, out of memory\?\), repl", e)]
    assert len(told) == len(seconds) >= 0.9 * kills
    return sorted(seconds)


def test_a_training_does_not_notice_that_its_workers_are_killed(zygote, tmp_path):
    check(zygote, tmp_path, kills=3, spacing=3)


@pytest.mark.slow
def test_fifty_killed_workers_change_no_bit(zygote, tmp_path):
    kills = int(os.environ.get("PPO_TEST_WORKER_KILLS", "50"))
    seconds = check(zygote, tmp_path, kills, spacing=4)
    print(
        f"{len(seconds)} workers killed: replaced and replayed in {seconds[len(seconds) // 2]:.2f} "
        f"s (median), {seconds[-1]:.2f} s (longest)"
    )


def test_a_signal_to_all_processes_ends_no_worker_that_is_starting(zygote, tmp_path):
    """As SLURM and `timeout` send it; the trainer alone decides."""
    trial = zygote.start(command(tmp_path, 10**6, **MORE))
    end = time.monotonic() + 60
    while len(starting := workers_of(trial.pid)) < 2:
        assert time.monotonic() < end and not trial.is_over(), trial.stderr
    for worker in starting:
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGINT)
    assert trial.until("metrics", 2), trial.stderr
    assert workers_of(trial.pid) == starting
    trial.send(signal.SIGINT)
    assert trial.wait() == 130


def is_alive(pid: int) -> bool:
    """Whether it still runs; one that has ended may wait for its adoptive parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("number", "fault"), [(signal.SIGKILL, "hang"), (signal.SIGTERM, "sleep")])
def test_workers_end_with_their_trainer(zygote, tmp_path, number, fault):
    """A killed one leaves none behind even in the middle of a step that would never end."""
    trial = zygote.start(
        command(tmp_path, 4, env__id="sick_env:Sick-v0", env__backend="async", env__workers=2,
                env__kwargs=f"{{fault: {fault}, at: 2}}", env__calibration_steps=0)
    )  # fmt: skip
    assert trial.until("collect")
    workers = workers_of(trial.pid)
    assert len(workers) == 2
    time.sleep(0.3)  # they are in their second step
    trial.send(number)
    trial.wait()
    end = time.monotonic() + 20
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() < end, "a worker is left"
        time.sleep(0.02)
