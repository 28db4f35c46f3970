"""Runs with `auto`: the numbers give the same run, and no scale of rewards is seen."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

from ppo import Config, Trainer
from ppo.algorithm.automatic import LEARNED, chosen, of_run, taken
from ppo.algorithm.switch import Switch
from ppo.insight.comparison.compare import compare

FEW = [
    "env.id=CartPole-v1", "env.num_envs=auto", "ppo.num_epochs=1", "network.hidden_sizes=[8]",
    "train.total_timesteps=6000", "logging.tensorboard=false", "system.compile=never",
    "evaluation.episodes=1",
]  # fmt: skip
TIMES = {"wall_time_s", "steps_per_second", "time"}


def trained(results: Path, *overrides: str, config: Config | None = None, **more: int) -> Trainer:
    torch.set_num_threads(1)
    with Trainer(config or Config.load(None, [*FEW, *overrides]), results) as trainer:
        trainer.train(**more)
    return trainer


def records(trainer: Trainer) -> list[dict]:
    """Without what depends on the clock."""
    rows = trainer.folder.records()
    return [{k: v for k, v in row.items() if k.split("/")[0] not in TIMES} for row in rows]


def policy(trainer: Trainer) -> torch.Tensor:
    return trainer.learner.optimizer.flat.theta.clone()


@pytest.fixture(scope="module")
def auto(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return trained(tmp_path_factory.mktemp("auto"))


def test_the_numbers_of_its_config_give_the_same_run(auto: Trainer, tmp_path: Path) -> None:
    assert auto.config.auto.steps > 0 and auto.config.auto.settings and not auto.config.open
    path = auto.folder.path / "config.yaml"
    sections = yaml.safe_load(path.read_text()).values()
    plain = {key: value for section in sections for key, value in section.items()}
    assert {key for key, value in plain.items() if value == "auto"} == {"action_masks"}  # or never
    assert (plain["backend"], plain["encoder"], plain["device"]) == ("vector", "mlp", "cpu")
    written = Config.load(path)
    assert written == auto.config
    again = trained(tmp_path, config=written)
    assert records(again) == records(auto)
    assert policy(again).equal(policy(auto))
    assert again.config.auto == auto.config.auto


@pytest.mark.parametrize(("batch", "graphs"), [(None, "never"), (0, "always"), (7, "always")])
def test_what_is_shown_of_graphs_and_clip_is_what_the_run_has(
    auto: Trainer, batch: int | None, graphs: str
) -> None:
    learner: Any = SimpleNamespace(
        collector=auto.learner.collector,
        device=torch.device("cuda:1"),
        switch=Switch("auto", 6000, batch),
    )
    for relative, clip in (("true", "relative"), ("false", "absolute")):
        asked = Config.load(None, [f"ppo.use_relative_value_clip={relative}", "env.backend=sync"])
        assert taken(asked, learner) == {
            "network.encoder": "mlp", "ppo.value_clip": clip,
            "system.device": "cuda:1", "system.compile": graphs,
        }  # fmt: skip


def test_the_steps_of_the_look_count(auto: Trainer) -> None:
    first = auto.folder.records()[0]["env_steps"]
    assert first == auto.config.auto.steps + auto.learner.steps_per_batch


def test_rewards_times_a_power_of_two_are_chosen_for_and_learned_alike(
    auto: Trainer, tmp_path: Path
) -> None:
    scaled = trained(tmp_path, f"env.reward_scale={2.0**20}")
    assert scaled.config.to_dict() | {"env": 0} == auto.config.to_dict() | {"env": 0}
    assert policy(scaled).equal(policy(auto))


def test_a_stopped_run_goes_on_with_the_numbers_of_its_folder(
    auto: Trainer, tmp_path: Path
) -> None:
    trained(tmp_path, batches=1)
    asked = Config.load(None, FEW)
    with Trainer(asked, tmp_path, resume="run0001") as trainer:
        trainer.train()
    assert policy(trainer).equal(policy(auto))
    assert records(trainer) == records(auto)
    assert trainer.config.auto == auto.config.auto


def test_another_seed_is_the_same_request(auto: Trainer, tmp_path: Path) -> None:
    """Also where the look gives other numbers: here they are made to differ."""
    other = trained(tmp_path, "system.seed=2", "ppo.num_steps=auto")
    file = other.folder.path / "config.yaml"
    now = f"num_steps: {other.config.ppo.num_steps}"
    file.write_text(file.read_text().replace(now, "num_steps: 7"))
    groups = compare([auto.folder.path, other.folder.path]).groups
    assert [len(group.runs) for group in groups] == [2]


def test_a_number_is_another_request(auto: Trainer, tmp_path: Path) -> None:
    steps = auto.config.ppo.num_steps
    other = trained(tmp_path, f"ppo.num_steps={steps}", "system.seed=2")
    assert other.config.ppo.num_steps == steps and "ppo.num_steps" not in other.config.auto.settings
    groups = compare([auto.folder.path, other.folder.path]).groups
    assert [len(group.runs) for group in groups] == [1, 1]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_choice_depends_on_the_seed_and_the_settings_alone(seed: int) -> None:
    plain = Config.load(None, [*FEW, f"system.seed={seed}"])
    first = chosen(plain)[0]
    for override in ("system.threads=2", "env.backend=async", "env.reward_scale=1e6"):
        again = chosen(plain.with_overrides([override]))[0]
        assert again.auto == first.auto
        assert again.ppo == first.ppo and again.network == first.network


def test_an_object_keeps_its_environments_and_the_rest_is_chosen(tmp_path: Path) -> None:
    config = Config.load(None, [*FEW, "train.total_timesteps=2048"])
    with Trainer(config, tmp_path, env=CartPoleVectorEnv(16)) as trainer:
        trainer.train(batches=1)
    now = trainer.config
    assert (now.env.num_envs, now.ppo.num_steps, now.auto.steps) == (16, 128, 0)
    assert "env.num_envs" not in now.auto.settings and "ppo.num_steps" in now.auto.settings


def test_a_policy_that_is_started_from_gives_its_network(tmp_path: Path) -> None:
    trained(tmp_path, "network.layer_norm=false", "train.total_timesteps=2048")
    more = ["train.initial_policy=run0001", "train.initial_parts=all"]
    second = trained(tmp_path, *more, "train.total_timesteps=2048")
    assert not second.config.network.layer_norm and not second.config.open
    folder, asked = tmp_path / "run0001", Config.load(None, FEW)
    taken = of_run(asked, folder, LEARNED)
    assert taken.auto.steps == 0 < of_run(asked, folder).auto.steps, (
        "that run's look is not its own"
    )
    assert "ppo.num_steps" in taken.open and "network.layer_norm" not in taken.open
