"""A signal ends a run within its grace; what was dropped is done again, bit for bit."""

from __future__ import annotations

import collections
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from trials import assert_same, command, result, resuming, settings
from zygote import PHASES, waits

from ppo import Config, Trainer
from ppo.core.errors import Dropped
from ppo.core.signals import Grace
from ppo.runs.folder import RunFolder

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
BATCHES = 6


def trainer(results: Path, resume: str | None = None, **more) -> Trainer:
    return Trainer(Config.from_dict({}, settings(BATCHES, **more)), results, resume=resume)


def stopped_at_poll(monkeypatch, number: int, results: Path, **more) -> Trainer:
    """A run that gets SIGTERM when it asks for the n-th time whether to go on."""
    polls = iter(range(10**9))
    original = Grace.__call__

    def poll(grace: Grace) -> None:
        if next(polls) == number:
            signal.raise_signal(signal.SIGTERM)
        original(grace)

    with monkeypatch.context() as patch:
        patch.setattr(Grace, "__call__", poll)
        stopped = trainer(results, **more)
        stopped.train()
    return stopped


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    made = {}

    def run(**more):
        key = tuple(more.items())
        if key not in made:
            results = tmp_path_factory.mktemp("whole")
            trainer(results, **more).train()
            made[key] = result(results)
        return made[key]

    return run


def polls():
    """In the calibration, two collections, an update, the evaluation, after it; and everywhere."""
    for number in (3, 30, 34, 46, 100, 113):
        yield pytest.param("DoubleIntegrator-v0", number)
    for env in ("DoubleIntegrator-v0", "CartPole-v1", "Pendulum-v1"):
        for number in range(0, 400, 7):
            yield pytest.param(env, number, marks=pytest.mark.slow)


@pytest.mark.parametrize(("env", "number"), polls())
def test_a_stop_between_two_steps_leaves_no_trace(monkeypatch, tmp_path, whole, env, number):
    more = {"env__id": env}
    stopped = stopped_at_poll(monkeypatch, number, tmp_path, **more)
    if stopped.status == "finished":
        pytest.fail("there are fewer polls than this") if number < 120 else None
    else:
        assert stopped.exit_status == 143
    torch.manual_seed(number)
    trainer(tmp_path, "latest" if list(tmp_path.glob("run*")) else None, **more).train()
    assert_same(result(tmp_path), whole(**more))


def test_a_short_batch_is_finished_within_the_grace(monkeypatch, tmp_path):
    """Polls 60 on are in a later batch, so it is known how long one takes."""
    stopped = stopped_at_poll(monkeypatch, 60, tmp_path, train__grace_seconds=60)
    assert stopped.status == "interrupted"
    assert stopped.learner.counters["batch"] == 3, "the third batch was finished"
    dropped = stopped_at_poll(monkeypatch, 60, tmp_path / "b", train__grace_seconds=0)
    assert dropped.learner.counters["batch"] == 2


def test_the_grace_is_over_at_its_deadline():
    grace = Grace(3600.0)
    with grace.during("batch"):
        grace()
    with grace.during("batch"):
        grace.start()
        grace()
        grace.deadline = time.monotonic() - 1.0
        with pytest.raises(Dropped):
            grace()
    grace = Grace(3600.0)
    grace.start()
    with pytest.raises(Dropped), grace.during("a thing that was never timed"):
        grace()


def test_sigusr1_saves_and_goes_on(zygote, tmp_path):
    trial = zygote.start(command(tmp_path, 10**6, train__checkpoint_interval=10**6))
    assert trial.until("metrics", 3)
    saved = trial.entered("checkpoint")
    trial.send(signal.SIGUSR1)
    assert waits(lambda: trial.entered("checkpoint") > saved, 30)
    batches = trial.entered("metrics")
    assert trial.until("metrics", batches + 2), "it goes on"
    trial.send(signal.SIGTERM)
    assert trial.wait() == 143


def test_the_second_ctrl_c_leaves_at_once(zygote, tmp_path):
    """While an environment sleeps in a step, so that the first one cannot end it."""
    trial = zygote.start(
        command(tmp_path, 1, env__id="sick_env:Sick-v0", env__backend="sync",
                env__kwargs="{fault: hang, at: 2}", env__calibration_steps=0)
    )  # fmt: skip
    assert trial.until("collect")
    time.sleep(0.2)
    trial.send(signal.SIGINT)
    time.sleep(0.1)
    assert not trial.is_over()
    trial.send(signal.SIGINT)
    assert waits(trial.is_over, 10)
    assert trial.wait() == 130


def workers_of(session: int) -> list[int]:
    """Living processes in the session of a trial, other than zombies."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(int(entry))
    return found


def stop_somewhere(zygote, results, batches, draw, **more):
    """Signals a run at a random instant; seconds until it had ended, and where it was."""
    memory = set(os.listdir("/dev/shm"))
    number = draw.choice(list(STATUS))
    trial = zygote.start(resuming(results, batches, **more))
    aim = draw.choice(["anywhere", *PHASES[1:6]])
    trial.until("collect")  # before that a signal has its ordinary effect
    if aim == "anywhere":
        time.sleep(draw.uniform(0.0, 0.2))
    else:
        trial.until(aim, draw.randint(1, 5))
        time.sleep(draw.uniform(0, 0.01))
    phase, group = trial.phase, draw.random() < 0.5
    if trial.is_over() or phase == "end":  # too late
        assert trial.wait() == 0, trial.stderr
        return None
    sent = time.monotonic()
    trial.send(number, group)
    status = trial.wait()
    seconds = time.monotonic() - sent
    if status == 0:  # it came while the last files were written
        assert RunFolder.open(results, "latest").status() == "finished"
        return None
    assert status == STATUS[number], (status, phase, trial.stderr)
    assert "Traceback" not in trial.stderr
    assert waits(lambda: not workers_of(trial.pid), 2), "a process is left"
    assert set(os.listdir("/dev/shm")) <= memory
    return seconds, phase


STOPPED = [
    {"env__id": "DoubleIntegrator-v0"},
    {"env__id": "CartPole-v1", "env__backend": "async", "env__workers": 2},
    {"env__id": "Pendulum-v1"},
]


def stop_until_done(zygote, results, batches, draw, most, **more):
    found = []
    for _ in range(2 * most):
        if len(found) == most:
            break
        stop = stop_somewhere(zygote, results, batches, draw, **more)
        found += [stop] if stop else []
        if RunFolder.open(results, "latest").status() == "finished":
            break
    return found


@pytest.mark.parametrize("more", STOPPED[::2], ids=lambda more: more["env__id"])
def test_stopped_runs_end_as_the_one_left_alone(zygote, tmp_path, more):
    assert zygote.run(command(tmp_path / "whole", 15, **more))[0] == 0
    stopped = tmp_path / "stopped"
    assert stop_until_done(zygote, stopped, 15, random.Random(3), 3, **more)
    status, errors = zygote.run(resuming(stopped, 15, **more))
    assert status == 0, errors
    assert_same(result(stopped), result(tmp_path / "whole"))


@pytest.mark.slow
def test_signals_at_a_hundred_instants(zygote, tmp_path):
    draw, found, runs = random.Random(11), [], 0
    while len(found) < int(os.environ.get("PPO_TEST_STOPS", "100")):
        more = STOPPED[runs % 3]
        whole, stopped = tmp_path / f"{runs}-whole", tmp_path / f"{runs}-stopped"
        assert zygote.run(command(whole, 1500, **more))[0] == 0
        found += stop_until_done(zygote, stopped, 1500, draw, 34, **more)
        status, errors = zygote.run(resuming(stopped, 1500, **more))
        assert status == 0, errors
        assert_same(result(stopped), result(whole))
        runs += 1
    seconds = [taken for taken, _ in found]
    phases = collections.Counter(phase for _, phase in found)
    print(
        f"{len(found)} signals in {runs} runs: median {statistics.median(seconds):.3f} s, "
        f"max {max(seconds):.3f} s, in {dict(phases)}"
    )
    assert statistics.median(seconds) <= 1 and max(seconds) <= 5


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), STATUS.items())
def test_the_program_itself_ends_with_the_right_status(tmp_path, number, status):
    root = Path(__file__).parents[2]
    argv = [sys.executable, str(root / "train_cli.py"), *command(tmp_path, 10**6)]
    process = subprocess.Popen(argv, cwd=tmp_path, start_new_session=True)
    try:
        assert waits(lambda: any(tmp_path.glob("run*/checkpoints/batch*")), 120)
        os.killpg(process.pid, number)
        assert process.wait(30) == status
    finally:
        process.kill()
        process.wait()


def test_a_run_that_is_stopped_before_its_first_batch_has_no_folder_and_says_how_it_ended(
    tmp_path, monkeypatch
):
    stopped = trainer(tmp_path)
    begin = stopped.learner.start

    def start():
        signal.raise_signal(signal.SIGTERM)
        raise Dropped

    monkeypatch.setattr(stopped.learner, "start", start)
    expected = {"status": "interrupted", "exit_status": 143, "reason": None}
    assert stopped.train() == expected and not any(tmp_path.iterdir())
    monkeypatch.setattr(stopped.learner, "start", begin)
    assert stopped.train(batches=1)["batches"] == 1
