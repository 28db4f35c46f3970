"""A run goes on, or is evaluated, where it was trained, or says what differs."""

import re

import numpy as np
import pytest
from changed_env import ACTION, OBSERVATION, Changed
from gymnasium import spaces

from ppo import Config, Trainer
from ppo.core.errors import UserError
from ppo.policies.demonstrate import demonstrate
from ppo.policies.evaluate import evaluate

WIDER = spaces.Box(-5, 5, (2,), np.float32)
REFUSED = [
    ("action_space", WIDER, "its action space differs .*low -1 -> -5, high 1 -> 5"),
    ("action_space", spaces.Discrete(3), r"its action space differs .*Box -> Discrete"),
    ("action_space", spaces.Box(-1, 1, (3,), np.float32), r"shape \[2\] -> \[3\]"),
    ("observation_space", spaces.Box(-1, 1, (4,), np.float32), r"shape \[3\] -> \[4\]"),
    ("observation_space", spaces.Dict({"a": OBSERVATION}), "Box -> Dict"),
]


def config(*more):
    return Config.from_dict(
        {},
        [
            "env.id=changed_env:Changed-v0", "env.num_envs=2", "ppo.num_steps=8",
            "ppo.num_minibatches=1", "ppo.num_epochs=1", "train.total_timesteps=32",
            "env.calibration_steps=4", "evaluation.episodes=2", "network.hidden_sizes=[8]",
            "system.compile=never", "logging.tensorboard=false", *more,
        ],
    )  # fmt: skip


@pytest.fixture
def trained(tmp_path):
    Trainer(config(), tmp_path).train(batches=1)
    return tmp_path


@pytest.mark.parametrize(("name", "space", "message"), REFUSED)
def test_another_space_is_refused_and_named(trained, monkeypatch, name, space, message):
    monkeypatch.setattr(Changed, name, space)
    with pytest.raises(UserError, match=message) as told:
        Trainer(config(), trained, resume="run0001").train()
    assert "run0001" in str(told.value) and "\n" not in str(told.value)
    with pytest.raises(UserError, match=message):
        evaluate(trained / "run0001", episodes=2)
    with pytest.raises(UserError, match=message):
        demonstrate(config(), trained / "steps.csv", 2, "run0001", trained)
    with pytest.raises(UserError, match=message):
        Trainer(config("train.initial_policy=run0001"), trained).train()


def test_other_bounds_of_observations_are_noted_and_the_run_goes_on(trained, monkeypatch, capsys):
    monkeypatch.setattr(Changed, "observation_space", spaces.Box(-9, 1, (3,), np.float32))
    evaluate(trained / "run0001", episodes=2)
    assert "low -1 -> -9" in capsys.readouterr().err
    trainer = Trainer(config(), trained, resume="run0001")
    trainer.train()
    events = [line for record in trainer.folder.records() for line in record["events"]]
    assert any(re.search("observation space differs .*low -1 -> -9", line) for line in events)


def test_the_same_environment_is_not_mentioned(trained, capsys):
    trainer = Trainer(config(), trained, resume="run0001")
    trainer.train()
    events = [line for record in trainer.folder.records() for line in record["events"]]
    assert not any("differs" in line for line in events)
    evaluate(trained / "run0001", episodes=2)
    assert not capsys.readouterr().err


def test_a_renamed_or_reordered_reward_component_is_refused(tmp_path, monkeypatch):
    """The critic has a value for each, in their order."""
    monkeypatch.setattr(Changed, "components", ("goal", "effort"))
    Trainer(config(), tmp_path).train(batches=1)
    monkeypatch.setattr(Changed, "components", ("effort", "goal"))
    with pytest.raises(UserError, match="goal, effort -> effort, goal"):
        Trainer(config(), tmp_path, resume="run0001").train()
    evaluate(tmp_path / "run0001", episodes=2)


@pytest.mark.parametrize("space", [ACTION, OBSERVATION, WIDER, spaces.Discrete(3, start=7)])
def test_a_space_does_not_differ_from_itself(space):
    from ppo.envs.changed import differences
    from ppo.envs.spaces import describe

    assert differences(describe(space), space) == []


def test_of_long_lists_the_first_number_that_differs_is_shown():
    from ppo.envs.changed import differences
    from ppo.envs.spaces import describe

    def texts(then, now):
        made = (spaces.MultiDiscrete(sizes) for sizes in (then, now))
        found = differences(describe(next(made)), next(made))
        return [one.text for one in found if "nvec" in one.text]

    assert texts([2, 3, 4, 5, 6], [2, 3, 7, 8, 6]) == ["nvec [2] 4 -> 7"]
    assert texts([2, 3], [2, 4]) == ["nvec [2, 3] -> [2, 4]"]
    assert texts([2, 3, 4, 5, 6], [2, 3]) == ["nvec [2, 3, 4, 5, 6] -> [2, 3]"]


def test_bounds_that_follow_from_another_shape_are_not_named() -> None:
    from ppo.envs.changed import differences

    highs = (np.arange(1, size + 1, dtype=np.float32) for size in (2, 3))
    then, now = (spaces.Box(-high, high) for high in highs)
    assert [found.text for found in differences(then, now)] == ["shape [2] -> [3]"]
