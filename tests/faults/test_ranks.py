"""Two processes that learn as one: stopped, killed and started again, they lose no bit."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from trials import assert_readable, assert_same, command, result, resuming
from zygote import waits

ROOT = Path(__file__).parents[2]
BATCHES = 12
MORE = {"env__id": "CartPole-v1", "ppo__reward_scaling": "return_std"}


def run(zygote, argv, count=2):
    trials = zygote.ranks(argv, count)
    return [trial.wait() for trial in trials], [trial.stderr for trial in trials]


@pytest.fixture(scope="module")
def whole(zygote, tmp_path_factory):
    results = tmp_path_factory.mktemp("ranks")
    status, errors = run(zygote, command(results, BATCHES, **MORE))
    assert status == [0, 0], errors
    return result(results)


def test_a_checkpoint_holds_the_environments_of_every_rank(whole):
    own = {name for name in whole["tensors"] if name.startswith("rank1.")}
    assert "rank1.collector.envs.episodes" in own and "rank1.reward_scale.carried" in own
    assert {name.removeprefix("rank1.") for name in own} <= whole["tensors"].keys()


@pytest.mark.parametrize(
    "env", ["CartPole-v1", pytest.param("Pendulum-v1", marks=pytest.mark.slow)]
)
def test_two_halves_learn_what_one_whole_learns(zygote, tmp_path, env):
    """Where advantages are normalized over all of them; a half alone has its own moments."""
    more = {"env__id": env, "ppo__num_minibatches": 1, "ppo__learning_rate": 0.01}

    def parameters(name, kind, count):
        argv = command(tmp_path / name, 3, **more, ppo__normalize_advantages=kind)
        status, errors = run(zygote, argv, count) if count > 1 else zygote.run(argv)
        assert status in (0, [0, 0]), errors
        tensors = result(tmp_path / name)["tensors"]
        own = {k: v for k, v in tensors.items() if k.startswith("objective.agent.")}
        return torch.cat([own[name].flatten().double() for name in sorted(own)])

    whole = parameters("one", "global", 1)
    assert torch.equal(whole, parameters("batch", "batch", 1))
    apart = (parameters("two", "global", 2) - whole).abs()
    alone = (parameters("alone", "batch", 2) - whole).abs()
    assert apart.max() < 1e-5 and alone.max() > 1e-2


@pytest.mark.parametrize(
    "who",
    [pytest.param([0], marks=pytest.mark.slow), [1], [0, 1]],
    ids=["rank 0", "rank 1", "both"],
)
def test_ranks_stop_together_and_go_on_as_if_nothing_had_been(zygote, tmp_path, whole, who):
    trials = zygote.ranks(command(tmp_path, BATCHES, **MORE))
    assert trials[0].until("collect", 4)
    for rank in who:
        trials[rank].send(signal.SIGTERM)
    assert [trial.wait() for trial in trials] == [143, 143], [t.stderr for t in trials]
    status, errors = run(zygote, resuming(tmp_path, BATCHES, **MORE))
    assert status == [0, 0], errors
    assert_same(result(tmp_path), whole)


def test_callbacks_see_and_do_the_same_in_every_rank(zygote, tmp_path):
    more = MORE | {"train__callbacks": "['stateful:Stateful']"}
    status, errors = run(zygote, command(tmp_path / "whole", BATCHES, **more))
    assert status == [0, 0], errors
    trials = zygote.ranks(command(tmp_path / "b", BATCHES, **more))
    assert trials[0].until("collect", 5)
    trials[1].send(signal.SIGTERM)
    assert [trial.wait() for trial in trials] == [143, 143], [t.stderr for t in trials]
    status, errors = run(zygote, resuming(tmp_path / "b", BATCHES, **more))
    assert status == [0, 0], errors
    found = result(tmp_path / "whole")
    assert_same(result(tmp_path / "b"), found)
    assert len({record["learning_rate"] for record in found["records"]}) > 2


def test_a_callback_that_fails_in_one_rank_ends_both(zygote, tmp_path):
    more = MORE | {"train__callbacks": "['stateful:FailsInRank1']"}
    status, errors = run(zygote, command(tmp_path, BATCHES, **more))
    assert status == [1, 1], errors
    assert "callback FailsInRank1: on_batch raised ValueError('no')" in errors[1]
    assert "another process" in errors[0]
    assert_readable(tmp_path)


@pytest.mark.parametrize("victim", [0, 1])
def test_the_other_rank_ends_when_one_is_killed(zygote, tmp_path, whole, victim):
    trials = zygote.ranks(command(tmp_path, BATCHES, **MORE))
    assert trials[0].until("update", 5)
    trials[victim].send(signal.SIGKILL)
    assert trials[victim].wait() == -signal.SIGKILL
    assert trials[1 - victim].wait() == 1
    assert "Traceback" not in trials[1 - victim].stderr
    assert_readable(tmp_path)
    status, errors = run(zygote, resuming(tmp_path, BATCHES, **MORE))
    assert status == [0, 0], errors
    assert_same(result(tmp_path), whole)


def test_another_number_of_processes_is_refused(zygote, tmp_path):
    assert run(zygote, command(tmp_path, 2, **MORE))[0] == [0, 0]
    status, errors = zygote.run(resuming(tmp_path, 4, **MORE))
    assert status == 2
    assert "trained by 2 process(es) and this is 1" in errors and "Traceback" not in errors


def test_another_number_of_environments_is_refused(zygote, tmp_path):
    assert zygote.run(command(tmp_path, 2))[0] == 0
    status, errors = zygote.run(resuming(tmp_path, 4, env__num_envs=8))
    assert status == 2
    assert "env.num_envs: 8 differs from the 4" in errors and "Traceback" not in errors


def ranks_of(agent: int) -> list[int]:
    """Processes that a torchrun agent has started, by their parent."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat[1]) == agent and stat[0] != "Z":
            found.append(int(entry))
    return sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [int(os.environ.get("PPO_TEST_RANK_KILLS", "20"))])
def test_torchrun_starts_again_from_the_newest_checkpoint(tmp_path, kills):
    """One rank killed again and again; torchrun starts both anew with the same command."""
    draw = random.Random(2)
    batches = 40 * kills + 40
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
             "--max-restarts", str(kills + 1), str(ROOT / "train_cli.py")]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    more = MORE | {"train__checkpoint_interval": 5, "evaluation__interval": 0}
    killed = tmp_path / "killed"
    log = (tmp_path / "log").open("wb")
    agent = subprocess.Popen(
        words + resuming(killed, batches, **more), stdout=log, stderr=log, env=environment,
        start_new_session=True,
    )  # fmt: skip
    downtimes = []
    try:
        for _ in range(kills):
            before = newest(killed)
            begun = time.monotonic()
            assert waits(lambda: newest(killed) > before + 10, 120), "a hang"  # noqa: B023
            downtimes.append(time.monotonic() - begun)
            time.sleep(draw.uniform(0.0, 0.3))
            os.kill(draw.choice(ranks_of(agent.pid)), signal.SIGKILL)
        assert agent.wait(600) == 0, (tmp_path / "log").read_text()[-3000:]
    finally:
        for pid in [*ranks_of(agent.pid), *([agent.pid] if agent.poll() is None else [])]:
            os.kill(pid, signal.SIGKILL)
        agent.wait()
        log.close()
    whole = tmp_path / "whole"
    subprocess.run(words + command(whole, batches, **more), env=environment, check=True,
                   capture_output=True)  # fmt: skip
    assert_same(result(killed), result(whole))
    print(f"{kills} kills, {batches} batches; longest time to the next checkpoints "
          f"{max(downtimes):.1f} s")  # fmt: skip


@pytest.mark.slow
def test_a_node_that_is_lost_and_comes_back_loses_no_bit(tmp_path):
    """Two agents meet over c10d on loopback; one and its rank die, and somebody starts it again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    words = [sys.executable, "-m", "torch.distributed.run",
             "--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "3",
             "--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint,
             "--rdzv-id", "lost", "--rdzv-conf", "last_call_timeout=1,keep_alive_interval=1",
             "--local-addr", "127.0.0.1", str(ROOT / "train_cli.py")]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }  # fmt: skip
    batches, more = 400, MORE | {"train__checkpoint_interval": 5, "evaluation__interval": 0}
    lost, log = tmp_path / "lost", (tmp_path / "log").open("wb")

    def node():
        return subprocess.Popen(
            words + resuming(lost, batches, **more), stdout=log, stderr=log, env=environment,
            start_new_session=True,
        )  # fmt: skip

    nodes = [node()]
    try:
        time.sleep(2.0)  # the first one keeps the store, and stays
        nodes.append(node())
        assert waits(lambda: newest(lost) > 20, 300), (tmp_path / "log").read_text()[-3000:]
        for pid in [nodes[1].pid, *ranks_of(nodes[1].pid)]:
            os.kill(pid, signal.SIGKILL)
        nodes[1].wait()
        before = newest(lost)
        nodes.append(node())
        assert [nodes[i].wait(900) for i in (0, 2)] == [0, 0], (tmp_path / "log").read_text()[
            -3000:
        ]
        assert newest(lost) == batches > before
    finally:
        for agent in nodes:
            for pid in [*ranks_of(agent.pid), *([agent.pid] if agent.poll() is None else [])]:
                os.kill(pid, signal.SIGKILL)
            agent.wait()
        log.close()
    whole = tmp_path / "whole"
    one = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
           str(ROOT / "train_cli.py")]  # fmt: skip
    subprocess.run(one + command(whole, batches, **more), env=environment, check=True,
                   capture_output=True)  # fmt: skip
    assert_same(result(lost), result(whole))


def newest(results: Path) -> int:
    names = results.glob("run0001/checkpoints/batch_*")
    numbers = [re.match(r"batch_(\d+)-", path.name) for path in names]
    return max((int(match[1]) for match in numbers if match), default=0)
