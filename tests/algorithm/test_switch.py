"""A run begins eagerly and changes to graphs at one batch, wherever it was stopped and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trials import assert_same, result, settings

from ppo import Config, Trainer
from ppo.algorithm import build, switch
from ppo.algorithm.ahead import Ahead, compile_all, request_of
from ppo.algorithm.rollout import collect, players
from ppo.algorithm.switch import Switch
from ppo.core import compiling, recording
from ppo.core.arguments import look
from ppo.core.errors import Dropped

CPU, GPU = torch.device("cpu"), torch.device("cuda")
BATCHES, FIRST = 5, 2


def first_of(*more: str) -> int:
    return switch.first_batch(Config.from_dict({}, ["ppo.num_steps=128", *more]), CPU)


def test_the_batch_follows_from_the_configuration_and_is_at_least_1() -> None:
    long = "train.total_timesteps=500000000"
    assert first_of("train.total_timesteps=1") == 1
    assert first_of(long, "network.hidden_sizes=[2048,2048]") < first_of(long)
    assert first_of(long, "ppo.num_epochs=100") < first_of(long, "ppo.num_epochs=2")


def test_a_quarter_of_a_run_is_eager_at_most() -> None:
    config = Config.from_dict({}, ["train.total_timesteps=100000"])
    batches = 100000 / (config.env.num_envs * config.ppo.num_steps)
    assert first_of("train.total_timesteps=100000", f"ppo.num_steps={config.ppo.num_steps}") == int(
        batches / 4
    )


def test_where_nothing_compiles_meanwhile_the_first_batch_alone_is_eager() -> None:
    config = Config.from_dict({}, ["train.total_timesteps=500000000"])
    assert switch.first_batch(config, GPU) == 1 < switch.first_batch(config, CPU)


def test_one_core_counts_all_that_compiling_costs(monkeypatch) -> None:
    def shortest(cores: int) -> int:
        monkeypatch.setattr(switch, "num_cores", lambda: cores)
        sizes = (2**n for n in range(10, 40))
        return next(
            n
            for n in sizes
            if switch.uses_compile(Config.from_dict({}, [f"train.total_timesteps={n}"]), CPU)
        )

    monkeypatch.setattr(compiling, "obstacle", lambda device: None)
    assert shortest(1) > shortest(2)


def test_a_resumed_run_keeps_its_switch_unless_its_settings_changed(monkeypatch) -> None:
    mine = Switch("auto", 1000, 7)
    none = mine._replace(batch=None)
    assert switch.resumed(["auto", 1000, 3], mine, CPU).batch == 3
    assert switch.resumed(["auto", 1000, None], mine, CPU).batch is None
    assert switch.resumed(["auto", 500, None], mine, CPU).batch == 7
    assert switch.resumed(["auto", 500, 3], mine, CPU).batch == 3  # it does not go back
    assert switch.resumed(["always", 1000, 3], none, CPU).batch is None
    assert switch.resumed(None, mine, CPU).batch == 0  # earlier versions began with graphs
    assert switch.resumed(None, none, CPU).batch is None
    monkeypatch.setattr(compiling, "obstacle", lambda device: None)
    assert switch.resumed(["auto", 1000, 3], none, CPU).batch == 3  # with fewer cores
    monkeypatch.setattr(compiling, "obstacle", lambda device: "no compiler")
    assert switch.resumed(["auto", 1000, 3], none, CPU).batch is None
    assert switch.lost(["auto", 1000, 3], none, 4) and not switch.lost(["auto", 1000, 3], none, 3)


@pytest.fixture
def graphs(monkeypatch) -> list[str]:
    """Functions that were compiled; graphs that show in every bit, but need no compiler."""
    made: list[str] = []

    def compiled(function: Any, device: Any, loops: bool = False) -> Any:
        name = getattr(function, "__name__", type(function).__name__)
        made.append(name)

        def graph(*args: Any) -> Any:
            if name == "step":
                function.__self__.optimizer.flat.theta.mul_(1.0078125)
            return function(*args)

        return graph

    for module in (collect, players, recording):
        monkeypatch.setattr(module, "compiled", compiled)
    monkeypatch.setattr(compiling, "obstacle", lambda device: None)
    monkeypatch.setattr(switch, "num_cores", lambda: 1)
    monkeypatch.setattr(switch, "first_batch", lambda *_: FIRST)
    return made


def trained(
    results: Path, *parts: int, resume: bool = False, then: Any = None, **more: Any
) -> dict[str, Any]:
    """A run of some batches, in several calls of `train`, or resumed for each.

    Args:
        then: called after the first of them.
    """
    config = Config.from_dict({}, settings(BATCHES, system__compile="always", **more))
    trainer = Trainer(config, results)
    for number, part in enumerate(parts):
        if number == 1 and then:
            then()
        if number and resume:
            trainer.close()
            trainer = Trainer(config, results, resume="latest")
        trainer.train(batches=part)
    trainer.close()
    return result(results)


def compare_ways(tmp_path: Path, monkeypatch: Any, **more: Any) -> None:
    """One run, whole, in calls of `train`, and stopped before, at and after its switch."""
    straight = trained(tmp_path / "straight", BATCHES, **more)
    assert [number for number, r in enumerate(straight["records"]) if r["events"]] == [0, FIRST]
    ways = {"before": (1, 4), "at": (FIRST, 3), "after": (3, 2)}
    assert_same(trained(tmp_path / "calls", 1, 2, 2, **more), straight)
    for name, parts in ways.items():
        assert_same(trained(tmp_path / name, *parts, resume=True, **more), straight)

    def decides_otherwise() -> None:
        monkeypatch.setattr(switch, "first_batch", lambda *_: FIRST + 2)

    stored = trained(tmp_path / "stored", 1, 4, resume=True, then=decides_otherwise, **more)
    assert_same(stored, straight)
    other = trained(tmp_path / "other", BATCHES, **more)
    assert [number for number, r in enumerate(other["records"]) if r["events"]] == [0, FIRST + 2]
    assert other["records"][FIRST] != straight["records"][FIRST]


def test_a_run_changes_at_its_batch_however_it_is_stopped(graphs, tmp_path, monkeypatch) -> None:
    compare_ways(tmp_path, monkeypatch, env__id="Pendulum-v1")
    assert {"step", "prepare", "examine", "finish", "forward"} <= set(graphs)


@pytest.mark.slow
@pytest.mark.parametrize("env", ["Pendulum-v1", "DoubleIntegrator-v0"])
def test_a_run_that_is_compiled_does_so_too(env, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(switch, "first_batch", lambda *_: FIRST)
    compare_ways(tmp_path, monkeypatch, env__id=env)


def test_one_batch_compiles_nothing(graphs, tmp_path) -> None:
    trained(tmp_path, 1)
    assert not graphs


SCALED = [pytest.param("fake"), pytest.param("true", marks=pytest.mark.slow)]


@pytest.mark.parametrize("how", SCALED)
def test_rewards_times_a_power_of_two_change_no_bit_across_the_switch(
    how, tmp_path, monkeypatch, request
) -> None:
    if how == "fake":
        request.getfixturevalue("graphs")
    monkeypatch.setattr(switch, "first_batch", lambda *_: FIRST)
    policies = []
    for power in (0, 20):
        found = trained(tmp_path / str(power), 4, env__reward_scale=2.0**power)["tensors"]
        named = sorted(name for name in found if name.startswith("objective.agent."))
        policies.append([found[name] for name in named if "critic" not in name])
    assert len(policies[0]) > 4
    assert all(torch.equal(a, b) for a, b in zip(*policies, strict=True))


def learner(*more: str) -> Any:
    config = Config.from_dict({}, [*settings(BATCHES, system__compile="always"), *more])
    device = build.prepare_torch(config)
    envs = build.build_environments(config, device)
    made = build.build_learner(config, envs, device, at_once=False)
    made.start()
    return made


@pytest.mark.parametrize("more", [["env.id=Pendulum-v1"], ["env.id=CartPole-v1"], []])
def test_the_process_ahead_compiles_for_the_arguments_that_the_run_has(
    more, graphs, monkeypatch
) -> None:
    looks: list[set[Any]] = [set()]

    def compiled(function: Any, *_: Any, **__: Any) -> Any:
        def graph(*args: Any) -> Any:
            name = getattr(function, "__qualname__", type(function).__name__)
            looks[-1].add((name, torch.is_grad_enabled(), look(args)))
            return function(*args)

        return graph

    for module in (collect, players, recording):
        monkeypatch.setattr(module, "compiled", compiled)
    run = learner(*more)
    compile_all(request_of(run))
    looks.append(set())
    for _ in range(FIRST + 2):
        run.step()
    ahead, here = looks
    assert ahead == here and len(here) >= 5


class Companion:
    """One that is done after so many questions."""

    made: list[Any] = []

    def __init__(self, work: str, request: Any, left: int = 3) -> None:
        self.work, self.left, self.closed = work, left, False
        Companion.made.append(self)

    @property
    def works(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def companions(graphs, monkeypatch, tmp_path) -> list[Any]:
    monkeypatch.setenv(compiling.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(Companion, "made", [])
    monkeypatch.setattr("ppo.algorithm.ahead.Companion", Companion)
    monkeypatch.setattr(switch, "num_cores", lambda: 2)
    return Companion.made


def test_the_process_starts_after_the_first_batch_and_is_waited_for(companions) -> None:
    run, polls = learner(), []
    ahead = Ahead(run)
    ahead.before_batch(lambda: polls.append(1))
    assert not companions
    run.step()
    ahead.before_batch(lambda: polls.append(1))
    (companion,) = companions
    assert companion.work == "ppo.algorithm.ahead:compile_all" and not polls
    run.step()
    ahead.before_batch(lambda: polls.append(1))
    assert len(polls) == 3 and companion.closed and len(companions) == 1


def test_a_stop_ends_the_wait(companions, monkeypatch) -> None:
    monkeypatch.setattr(Companion, "works", True)
    run = learner()
    ahead = Ahead(run)

    def poll() -> None:
        raise Dropped("stop")

    for _ in range(FIRST):
        ahead.before_batch(poll)
        run.step()
    with pytest.raises(Dropped):
        ahead.before_batch(poll)
    assert companions[0].closed


def test_what_is_in_the_cache_already_is_not_compiled_ahead_again(companions) -> None:
    def starts(*more: str) -> bool:
        run = learner(*more)
        ahead = Ahead(run)
        for _ in range(FIRST):
            ahead.before_batch(lambda: None)
            run.step()
        return len(companions) > 0 and companions.pop() is not None

    assert starts()
    compile_all(request_of(learner()))
    assert not starts() and not starts("system.seed=7", "train.total_timesteps=4000")
    assert starts("network.hidden_sizes=[9]") and starts("env.num_envs=2")


def test_one_core_starts_no_process(companions, monkeypatch) -> None:
    monkeypatch.setattr(switch, "num_cores", lambda: 1)
    run = learner()
    ahead = Ahead(run)
    for _ in range(FIRST + 1):
        ahead.before_batch(lambda: None)
        run.step()
    assert not companions


@pytest.mark.parametrize("end", ["close", "drop"])
def test_a_trainer_that_goes_takes_the_process_along(end, companions, tmp_path) -> None:
    config = Config.from_dict({}, settings(BATCHES, system__compile="always"))
    trainer = Trainer(config, tmp_path)
    trainer.train(batches=2)
    assert not companions[0].closed
    if end == "close":
        trainer.close()
    del trainer
    assert companions[0].closed
