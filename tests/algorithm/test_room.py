"""What cannot fit into the machine is refused before the memory is gone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ppo.algorithm import build, room
from ppo.config import Config
from ppo.core import memory
from ppo.core.errors import UserError
from ppo.core.layout import Layout

HOST = torch.device("cpu")


def _config(*settings: str) -> Config:
    return Config.load(overrides=["ppo.num_steps=8", *settings])


@pytest.mark.parametrize(
    "settings",
    [
        ["env.num_envs=100000000"],  # stepped as one
        ["env.num_envs=100000000", "env.id=Pendulum-v1", "ppo.num_steps=1"],  # objects of Python
        ["env.num_envs=1", "ppo.num_steps=10000000000"],
    ],
)
def test_a_batch_beyond_the_machine_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, settings: list[str]
) -> None:
    monkeypatch.setattr(room, "most_memory", lambda: 3.2e10)
    monkeypatch.setattr(build, "make_environments", lambda *_, **__: pytest.fail("were made"))
    config = _config(*settings, "ppo.num_minibatches=1")
    with pytest.raises(UserError, match=r"^env\.num_envs: .*ppo\.num_steps.* this machine has 32G"):
        build.build_environments(config, HOST)


@pytest.mark.parametrize(("precision", "number"), [("float32", 4), ("bfloat16", 2)])
def test_observations_count_once_they_are_known(
    monkeypatch: pytest.MonkeyPatch, precision: str, number: int
) -> None:
    """16 environments x 8 steps: a row has 4 numbers, the critic's layers take 64 and give 64."""
    words = ["env.id=CartPole-v1", "env.num_envs=16", "env.backend=sync"]
    config = _config(*words, f"system.precision={precision}")
    needed = 16 * (8 * 4 * (4 + 5) + 9 * number * 128 + 2 * 16 + 1000)
    monkeypatch.setattr(room, "most_memory", lambda: needed)
    build.build_environments(config, HOST).close()
    monkeypatch.setattr(room, "most_memory", lambda: needed - 1)
    with pytest.raises(UserError, match="at most 15 environments"):
        build.build_environments(config, HOST)


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "times"), [("[64, 64]", 4), ("[8]", 16)])
def test_what_could_fit_is_not_refused(tmp_path: Path, sizes: str, times: int) -> None:
    """The estimate is below what a process takes for a batch, and not far below."""
    words = ["env.num_envs=100000", "ppo.num_steps=8", f"network.hidden_sizes={sizes}"]
    words += ["ppo.num_epochs=1", "ppo.num_minibatches=64", "logging.tensorboard=false"]
    config = Config.load(overrides=words)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError, match="bytes") as refused:
        patch.setattr(room, "most_memory", lambda: 1.0)
        room.refuse_too_large(config, 100_000, False, Layout(5), 4)
    estimate = float(re.search(r"take ([\d.]+)M bytes", str(refused.value))[1]) * 1e6
    code = (
        "import resource, sys\n"
        "from ppo import Config, Trainer\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "config = Config.load(overrides=sys.argv[2:])\n"
        "few = config.with_overrides(['env.num_envs=64'])\n"
        "with Trainer(few, sys.argv[1]) as t: t.train(batches=1)\n"
        "before = peak()\n"
        "with Trainer(config, sys.argv[1]) as t: t.train(batches=1)\n"
        "print(peak() - before)\n"
    )
    words += ["system.compile=never"]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    taken = float(done.stdout.splitlines()[-1])
    assert estimate < taken < times * estimate


def test_a_container_has_what_its_groups_leave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, path in (("MEMINFO", "meminfo"), ("CGROUP", "cgroup"), ("CGROUPS", "groups")):
        monkeypatch.setattr(memory, name, tmp_path / path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert memory.most_memory() == float("inf")
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemFree: 10 kB\nSwapTotal:   24 kB\n")
    assert memory.most_memory() == 1024 * 1024
    (tmp_path / "groups/a/b").mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    (tmp_path / "groups/a/b/memory.max").write_text("max\n")
    (tmp_path / "groups/a/memory.max").write_text("2048\n")
    (tmp_path / "groups/memory.max").write_text("4096\n")
    assert memory.most_memory() == 2048 + 24 * 1024
