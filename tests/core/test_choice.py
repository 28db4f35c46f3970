"""`system.compile: auto` never makes a short run slower."""

from __future__ import annotations

import torch

from ppo.algorithm import switch
from ppo.config import Config
from ppo.core import compiling

CPU = torch.device("cpu")


def chosen(*settings: str) -> bool:
    config = Config.from_dict({}, ["ppo.num_steps=128", *settings])
    return switch.uses_compile(config, CPU, on_device=True)


def test_auto_compiles_a_long_run_and_not_a_short_one() -> None:
    assert not chosen("train.total_timesteps=100000")
    assert chosen("train.total_timesteps=500000000")


def test_one_batch_is_never_compiled_whatever_it_holds() -> None:
    assert not chosen("env.num_envs=4096", "train.total_timesteps=1000000", "ppo.num_epochs=20")


def test_what_a_run_saves_grows_with_its_length_and_its_gradient_steps() -> None:
    def shortest(steps: int) -> int:
        return next(n for n in range(1, 10**6) if compiling.repays(n, 128, steps, True))

    assert shortest(16) > shortest(160) > shortest(1600)


def test_a_gpu_needs_a_longer_run_since_it_compiles_for_longer() -> None:
    counts = 128, 160, False
    assert compiling.repays(2500, *counts) and not compiling.repays(2500, *counts, device="cuda")
    assert compiling.repays(4000, *counts, device="cuda")


def test_a_short_run_does_not_load_a_compiler_to_look_for_one(monkeypatch) -> None:
    def loads(device: object) -> None:
        raise AssertionError("two seconds of imports")

    monkeypatch.setattr(compiling, "obstacle", loads)
    assert not chosen("train.total_timesteps=100000")


def test_always_and_never_mean_what_they_say() -> None:
    assert chosen("system.compile=always", "train.total_timesteps=1000")
    assert not chosen("system.compile=never", "train.total_timesteps=500000000")


def test_without_a_compiler_auto_runs_eagerly_and_always_says_why(monkeypatch) -> None:
    monkeypatch.setattr(compiling, "obstacle", lambda device: "no C++ compiler was found")
    assert not chosen("train.total_timesteps=500000000")
    try:
        chosen("system.compile=always")
    except ValueError as error:
        assert "system.compile" in str(error) and "no C++ compiler" in str(error)
    else:
        raise AssertionError("accepted")
