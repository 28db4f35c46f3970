"""`{index}` in env.kwargs is the number of the environment that is made with it."""

import pytest
from env_tools import make
from port_env import taken

from ppo import Config, Trainer
from ppo.core.errors import UserError
from ppo.envs.numbered import filled

NUMBERED = {"port": "{index+6000}", "scene": "room{index}.xml", "more": {"seeds": ["{index}", 7]}}


@pytest.fixture(autouse=True)
def no_port_is_taken():
    taken.clear()
    yield
    assert not taken


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{index}", 3),
        ("{index+6000}", 6003),
        ("{index + 6000}", 6003),
        ("a{index}b{index+1}", "a3b4"),
        ("{other}", "{other}"),
        (NUMBERED, {"port": 6003, "scene": "room3.xml", "more": {"seeds": [3, 7]}}),
    ],
)
def test_a_placeholder_alone_is_a_number_and_inside_text_is_text(value, expected):
    found = filled(value, 3)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("backend", ["auto", "sync", "async"])
def test_each_environment_gets_its_own(backend):
    with make("port_env:Port-v0", backend, 3, kwargs=NUMBERED, first_index=2) as envs:
        assert envs.reset().squeeze(-1).tolist() == [6002, 6003, 6004]


def test_the_environments_of_an_evaluation_are_others(tmp_path):
    settings = [
        "env.id=port_env:Port-v0", 'env.kwargs.port="{index+6000}"', "env.num_envs=2",
        "ppo.num_steps=8", "ppo.num_minibatches=1", "train.total_timesteps=32",
        "evaluation.episodes=2", "system.compile=never", "logging.tensorboard=false",
    ]  # fmt: skip
    trainer = Trainer(Config.from_dict({}, settings), tmp_path)
    seen = set()
    play = trainer.evaluated.play
    trainer.evaluated.play = lambda *args: (play(*args), seen.update(taken))[0]
    trainer.train()
    assert seen == {6000, 6001, 6002, 6003}


def test_a_port_that_is_taken_brings_the_placeholder_to_mind():
    with pytest.raises(UserError, match=r'in use.*env\.kwargs.*"\{index\+5000\}"'):
        make("port_env:Port-v0", "sync", 2)
    taken.clear()


@pytest.mark.parametrize("backend", ["vector", "torch"])
def test_what_is_made_at_once_has_no_number(backend):
    with pytest.raises(UserError, match=r"env\.kwargs: \{index\}.*sync"):
        make("CartPole-v1", backend, 2, kwargs={"render_mode": "{index}"})


def test_without_quotes_yaml_reads_something_else():
    config = Config.from_dict({}, ["env.id=port_env:Port-v0", "env.kwargs.port={index+6000}"])
    with pytest.raises(UserError, match="quotes"):
        make("port_env:Port-v0", "sync", 1, kwargs=config.env.kwargs)
