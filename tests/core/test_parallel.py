"""Processes that learn as one: equal parameters after every batch, and one set of files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ppo.core import parallel, torch_internals
from ppo.core.errors import RunError, UserError

ROOT = Path(__file__).parents[2]
SETTINGS = [
    "env.num_envs=4",
    "ppo.num_steps=15",
    "ppo.num_epochs=2",
    "ppo.num_minibatches=2",
    "env.calibration_steps=15",
    "system.device=cpu",
    "logging.tensorboard=false",
    "evaluation.episodes=2",
]
# Each rank writes a digest of everything it has learned after every batch.
PROGRAM = """
import glob, hashlib, os, sys, torch
from ppo.algorithm import build, discount
from ppo.core import parallel
from ppo.config import Config
torch.set_num_threads(1)
discount.ENOUGH = -100.0  # so that the horizon moves at all
config = Config.from_dict({}, sys.argv[2:])
out = open(sys.argv[1] + os.environ["RANK"], "w")
device = build.prepare_torch(config)
parallel.start(device)
learner = build.build_learner(config, build.build_environments(config, device), device)
learner.start()
for _ in range(4):
    record = learner.step()
    state = learner.objective.state_dict() | learner.optimizer.state_dict()
    state |= learner.discount.state_dict()
    raw = b"".join(value.contiguous().numpy().tobytes() for value in state.values())
    digest = hashlib.sha256(raw).hexdigest()
    taken = int(learner.optimizer.steps)
    gamma = learner.discount.total.item()
    print("batch", record["batch"], record["env_steps"], taken, gamma, digest, file=out)
parallel.stop()
left = {open(path).read().strip() for path in glob.glob("/proc/self/task/*/comm")}
print("left", sorted(name for name in left if "gloo" in name), file=out)
out.close()
"""


def torchrun(*command: str) -> str:
    """Standard output of two ranks; fails with their errors."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        + list(command),
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def sets(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


CASES = {
    "shipped": [],
    "rewards scaled": ["ppo.reward_scaling=return_std", "ppo.normalize_advantages=batch"],
    "components as one reward": ["ppo.component_mixing=sum", "network.shared_encoder=false"],
    "stopped by its divergence": [
        "ppo.target_kl=0.0001", "ppo.learning_rate=0.01", "ppo.noise=pink",
    ],
    "horizon moves": ["env.id=CartPole-v1", "ppo.gamma_schedule=critic", "ppo.gamma=0.5"],
    "noises contend": [
        "env.id=Pendulum-v1", "env.kwargs={max_episode_steps: 9}", "ppo.noise=contest",
    ],
}  # fmt: skip


def check(folder: Path, more: list[str]) -> None:
    """What both ranks have written is the same, and what the settings ask for."""
    one, other = ((folder / f"rank{rank}").read_text().splitlines() for rank in (0, 1))
    assert one == other
    *found, left = (line.split() for line in one)
    assert [line[2] for line in found] == ["60", "120", "180", "240"]
    assert left == ["left", "[]"], "a thread of the group that outlives it may abort the process"
    if "ppo.target_kl=0.0001" in more:  # the test is worth nothing unless an update stopped
        assert int(found[-1][3]) < 4 * 4
    if "ppo.gamma=0.5" in more:
        assert len({line[4] for line in found}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("more", CASES.values(), ids=CASES)
def test_ranks_agree_bit_for_bit_after_every_batch(tmp_path: Path, more: list[str]) -> None:
    program = tmp_path / "ranks.py"
    program.write_text(PROGRAM)
    torchrun(str(program), str(tmp_path / "rank"), *SETTINGS, *more)
    check(tmp_path, more)


def test_forked_ranks_agree_bit_for_bit_after_every_batch(zygote: Any, tmp_path: Path) -> None:
    """The sample of the quick suite: no process that imports anew."""
    program, out = tmp_path / "ranks.py", str(tmp_path / "rank")
    program.write_text(PROGRAM)
    trials = zygote.ranks([out, *SETTINGS], program=str(program))
    assert [trial.wait() for trial in trials] == [0, 0], [trial.stderr for trial in trials]
    check(tmp_path, [])


def test_the_compiler_is_there_before_the_group_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked ranks have it in any case, and so they cannot show what it would keep."""
    done: list[str] = []
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr(torch_internals, "load_compiler", lambda: done.append("compiler"))
    monkeypatch.setattr(parallel, "rendezvous", lambda url: iter([(None, 0, 2)]))
    monkeypatch.setattr(parallel.dist, "PrefixStore", lambda name, store: store)
    monkeypatch.setattr(parallel.dist, "init_process_group", lambda *a, **k: done.append("group"))
    monkeypatch.setattr(parallel.atexit, "register", lambda function: None)
    parallel.start(torch.device("cpu"))
    assert done == ["compiler", "group"]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2 is set .* and RANK, MASTER_ADDR, MASTER_PORT not, as"),
        ({"WORLD_SIZE": "two", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "=two is set"),
    ],
)
def test_a_part_of_a_group_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], message: str
) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        parallel.start(torch.device("cpu"))


def test_a_rank_that_fails_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(parallel, "any_", lambda failed, device: told.append(failed) or True)
    with pytest.raises(ZeroDivisionError), parallel.together(torch.device("cpu")):
        raise ZeroDivisionError
    with pytest.raises(RunError, match="another process could not go on"):
        with parallel.together(torch.device("cpu")):
            pass
    assert told == [True, False], "all ranks ask, whether they have failed or not"


@pytest.mark.slow
def test_a_run_of_two_processes_writes_one_run_folder(tmp_path: Path) -> None:
    settings = sets(*SETTINGS, "train.total_timesteps=180")
    torchrun("train_cli.py", "--mode", "train", "--results", str(tmp_path), "--quiet", *settings)
    assert [folder.name for folder in tmp_path.glob("run*")] == ["run0001"]
    run = tmp_path / "run0001"
    records = json.loads((run / "loss_metrics.json").read_text())["batches"]
    assert [record["env_steps"] for record in records] == [60, 120, 180]
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"
