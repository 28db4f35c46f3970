"""A small gradient step stays on the CPU although a GPU is there; `meta` plays the GPU."""

from __future__ import annotations

import pytest
import torch
from image_env import Picture
from simulators import Native

from ppo.algorithm import build, devices
from ppo.config import Config
from ppo.core import parallel

GPU, CPU = torch.device("meta"), torch.device("cpu")
SMALL = ["env.num_envs=8", "ppo.num_steps=16", "ppo.num_minibatches=2", "system.compile=never"]


def placed(*settings: str, env: object = None) -> tuple[torch.device, list[str]]:
    envs, device, lines = build.place(Config.from_dict({}, [*SMALL, *settings]), GPU, env=env)
    envs.close()
    return device, lines


def test_a_small_gradient_step_stays_on_the_cpu_and_a_line_says_so() -> None:
    device, lines = placed()
    assert device == CPU
    assert len(lines) == 1 and "64 samples" in lines[0] and "system.device=meta" in lines[0]


@pytest.mark.parametrize("more", ["ppo.num_steps=65536", "network.hidden_sizes=[512, 512]"])
def test_a_large_one_goes_to_the_gpu(more: str) -> None:
    assert placed(more) == (GPU, [])


def test_where_the_border_lies() -> None:
    """256 samples of 2x64, or as many weights and samples in another form."""
    for steps, sizes in ((64, "[64, 64]"), (128, "[64]"), (4, "[256, 256]")):
        at = [f"network.hidden_sizes={sizes}", "env.num_envs=8"]
        assert placed(*at, f"ppo.num_steps={steps}")[0] == GPU
        assert placed(*at, f"ppo.num_steps={steps - 1}")[0] == CPU


def test_who_names_a_device_gets_it() -> None:
    assert placed("system.device=cuda") == (GPU, [])


def test_images_and_simulators_of_the_gpu_go_there() -> None:
    assert placed(env=Picture) == (GPU, [])
    assert placed(env=Native(8, "meta")) == (GPU, [])
    assert placed(env=Native(8, "cpu"))[0] == CPU


@pytest.mark.parametrize(
    "env, settings, expected",
    [
        (None, [], CPU),
        (None, ["env.id=CartPole-v1", "env.backend=sync"], CPU),
        (None, ["network.hidden_sizes=[1024, 1024]"], GPU),
        (Picture, [], GPU),
        (Native(8, "cpu"), [], GPU),
    ],
)
def test_a_small_network_plays_a_few_environments_on_the_cpu(env, settings, expected) -> None:
    config = Config.from_dict({}, [*SMALL, *settings])
    envs = build.build_environments(config, CPU, env=env)
    agent = build.build_learner(config, envs, CPU).objective.agent
    assert devices.for_few(config, agent, envs, GPU) == expected
    envs.close()


def test_several_processes_keep_the_device_that_they_meet_on(monkeypatch) -> None:
    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    assert placed() == (GPU, [])


@pytest.mark.parametrize(
    "name, number, taken",
    [
        ("auto", None, []),
        ("cuda", "1", [1]),
        ("auto", "3", [3]),
        ("auto", "5", [1]),  # more processes than GPUs
        ("cuda:2", None, [2]),
        ("cuda:2", "1", [2]),  # of one's own choice
        ("cpu", "1", []),
    ],
)
def test_graphs_are_captured_on_the_gpu_that_computes_and_each_process_has_its_own(
    name: str, number: str | None, taken: list[int], monkeypatch
) -> None:
    found: list[int] = []
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if number is not None:
        monkeypatch.setenv("LOCAL_RANK", number)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda of: found.append(getattr(of, "index", of)))
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)
    device = build.prepare_torch(Config.from_dict({}, [f"system.device={name}"]))
    assert device == torch.device("cuda" if name == "auto" else name)
    assert found == taken
