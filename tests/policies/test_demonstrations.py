"""Reading and writing demonstrations: every format gives the same rows, every mistake one line."""

import errno
import os
import sys

import h5py
import numpy as np
import pytest
from gymnasium import spaces

from ppo.cli import main
from ppo.core.errors import UserError
from ppo.policies.demonstrations import Demonstrations, episodes, read, write

OBS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(-2.0, 2.0, (1,), np.float32)


def made(num_episodes=4, length=5):
    rng = np.random.default_rng(0)
    size = num_episodes * length
    ends = np.arange(size) % length == length - 1
    obs = rng.normal(size=(size, 3)).astype(np.float32)
    actions = rng.uniform(-2, 2, (size, 1)).astype(np.float32)
    return Demonstrations(obs, actions, ends, rng.normal(size=size))


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("ending", ["npz", "hdf5", "h5", "safetensors"])
def test_what_is_written_is_read_back(tmp_path, ending):
    data = made()
    write(tmp_path / f"d.{ending}", data)
    assert same(read(tmp_path / f"d.{ending}", OBS, BOX), data)


@pytest.mark.parametrize("ending", ["npz", "hdf5", "h5", "safetensors"])
def test_a_full_disk_leaves_the_former_file(tmp_path, monkeypatch, ending):
    data = made()
    write(tmp_path / f"d.{ending}", data)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(UserError, match=f"--data .*d.{ending}: cannot be written .*No space"):
        write(tmp_path / f"d.{ending}", made(9))
    assert same(read(tmp_path / f"d.{ending}", OBS, BOX), data)
    assert os.listdir(tmp_path) == [f"d.{ending}"]


def test_a_minari_data_set_gives_the_same_rows_without_its_last_observations(tmp_path):
    data = made()
    folder = tmp_path / "point" / "data"
    folder.mkdir(parents=True)
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for i, steps in reversed(list(enumerate(episodes(data)))):
            group = file.create_group(f"episode_{i}")
            last = np.full((1, 3), 9.0, np.float32)
            group["observations"] = np.concatenate([data.obs[steps], last])
            group["actions"] = data.actions[steps]
            group["rewards"] = data.rewards[steps]
            group["terminations"] = data.ends[steps]
            group["truncations"] = np.zeros_like(data.ends[steps])
    assert same(read(tmp_path / "point", OBS, BOX), data)


def test_minari_observations_in_parts_stand_in_the_order_of_their_names(tmp_path):
    space = spaces.Dict({"b": spaces.Box(-9, 9, (1,)), "a": spaces.Box(-9, 9, (2,))})
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        file["episode_0/observations/b"] = np.array([[3.0], [6.0], [0.0]])
        file["episode_0/observations/a"] = np.array([[1.0, 2.0], [4.0, 5.0], [0.0, 0.0]])
        file["episode_0/actions"] = np.zeros((2, 1))
    assert read(tmp_path / "d.hdf5", space, BOX).obs.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_masked_steps_are_left_out_and_end_their_episode(tmp_path):
    obs = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)
    masks = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
    np.savez(tmp_path / "d.npz", observations=obs, actions=np.zeros((2, 4, 1)), masks=masks)
    found = read(tmp_path / "d.npz", OBS, BOX)
    assert found.ends.tolist() == [False, False, True, False, True]
    assert np.array_equal(found.obs, np.concatenate([obs[0, :3], obs[1, :2]]))


def test_choices_and_one_hot_observations(tmp_path):
    np.savez(tmp_path / "d.npz", observations=np.array([0, 2]), actions=np.array([1, 3]))
    found = read(tmp_path / "d.npz", spaces.Discrete(3), spaces.Discrete(3, start=1))
    assert found.obs.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert found.actions.tolist() == [[1], [3]]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"obs": np.zeros((2, 3))}, "no field 'observations' (the file has: obs)"),
        ({"observations": np.zeros((2, 3))}, "no field 'actions'"),
        ({"observations": np.zeros((2, 4)), "actions": np.zeros((2, 1))}, "4"),
        ({"observations": np.zeros((2, 3)), "actions": np.zeros((2, 2))}, "2 entries a step"),
        ({"observations": np.zeros((3, 3)), "actions": np.zeros((2, 1))}, "unequal length"),
        ({"observations": np.zeros((2, 3)), "actions": np.full((2, 1), 3.0)}, "outside"),
        ({"observations": np.full((2, 3), np.nan), "actions": np.zeros((2, 1))}, "2 rows are not"),
        ({"observations": np.zeros((0, 3)), "actions": np.zeros((0, 1))}, "no steps"),
        ({"observations": np.array([["a"] * 3] * 2), "actions": np.zeros((2, 1))}, "numbers are"),
        ({"observations": np.array([{}] * 2), "actions": np.zeros((2, 1))}, "cannot be read"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, fields, words):
    path = tmp_path / "d.npz"
    np.savez(path, **fields)
    with pytest.raises(UserError) as found:
        read(path, OBS, BOX)
    text = str(found.value)
    assert words in text and "\n" not in text and str(path) in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rewards": np.array(["x"] * 20)}, "rewards: numbers are needed, not <U1"),
        ({"rewards": np.zeros((20, 2))}, r"rewards: one number a step is needed, not \(20, 2\)"),
        ({"dones": np.full(20, np.nan)}, "dones: 20 rows are not finite"),
        ({"observations": np.full((20, 3), 1e300)}, "observations: 20 rows are not finite"),
    ],
)
def test_fields_that_would_be_read_as_something_else_are_refused(tmp_path, fields, words):
    usual = {"observations": np.zeros((20, 3)), "actions": np.zeros((20, 1))}
    np.savez(tmp_path / "d.npz", **(usual | fields))
    with pytest.raises(UserError, match=f"d.npz: {words}"):
        read(tmp_path / "d.npz", OBS, BOX)


@pytest.mark.parametrize(("obs", "words"), [(9, "but is 9"), (1.7, "whole numbers are needed")])
def test_a_choice_that_is_none_is_no_observation(tmp_path, obs, words):
    np.savez(tmp_path / "d.npz", observations=np.full(20, obs), actions=np.zeros((20, 1)))
    with pytest.raises(UserError, match=f"d.npz: .*{words}"):
        read(tmp_path / "d.npz", spaces.Discrete(4), BOX)


def test_ends_and_rewards_may_be_columns(tmp_path):
    data = made()
    assert data.rewards is not None
    np.savez(tmp_path / "d.npz", observations=data.obs, actions=np.tile(data.actions, 2),
             dones=data.ends[:, None], rewards=data.rewards[:, None])  # fmt: skip
    found = read(tmp_path / "d.npz", OBS, spaces.Box(-2, 2, (2,)))
    assert np.array_equal(found.ends, data.ends) and np.array_equal(found.rewards, data.rewards)


@pytest.mark.parametrize("ending", ["npz", "hdf5", "safetensors"])
def test_a_file_of_noise_is_told_in_one_line(tmp_path, ending):
    path = tmp_path / f"d.{ending}"
    path.write_bytes(b"\x93NUMPY not really" * 20)
    with pytest.raises(UserError, match="cannot be read"):
        read(path, OBS, BOX)


@pytest.mark.parametrize("name", ["missing.npz", "d.csv", "."])
def test_a_missing_file_and_an_unknown_ending_are_told(tmp_path, name):
    (tmp_path / "d.csv").write_text("1,2")
    with pytest.raises(UserError):
        read(tmp_path / name, OBS, BOX)


def test_the_command_writes_what_the_optimal_control_does(tmp_path, capsys):
    path = tmp_path / "d.npz"
    assert main(["--mode", "demonstrate", "--episodes", "70", "--data", str(path), "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "70 episodes, 1,050 steps" in told and "final error 0.00" in told
    from ppo.envs.native.double_integrator import optimal_control
    from ppo.envs.tasks.double_integrator import DoubleIntegratorEnv

    env = DoubleIntegratorEnv()
    found = read(path, env.observation_space, env.action_space)
    expected = np.clip(optimal_control(found.obs), -8, 8)
    np.testing.assert_allclose(found.actions, expected, rtol=1e-4, atol=1e-4)
    for steps in episodes(found):
        env.reset()
        obs = found.obs[steps]
        env.state[:] = [obs[0, 0], obs[0, 1], obs[0, 0] + obs[0, 2], obs[0, 1] + obs[0, 3], 15]
        reached = [env.step(action)[0] for action in found.actions[steps]]
        np.testing.assert_allclose(reached[:-1], obs[1:], atol=1e-3)


def test_a_package_that_is_missing_is_told_before_anything_is_played(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setattr("ppo.policies.demonstrate.record", lambda *_: pytest.fail("it played"))
    words = ["--episodes", "8", "--data", str(tmp_path / "d.hdf5"), "--quiet"]
    assert main(["--mode", "demonstrate", *words]) == 2
    assert "need the package h5py" in capsys.readouterr().err


def test_a_final_error_is_told_where_there_is_one_alone(tmp_path, capsys, monkeypatch):
    """A choice of five is five numbers of an observation, as many as DoubleIntegrator's."""
    (tmp_path / "five.py").write_text(FIVE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    small = ["env.num_envs=2", "ppo.num_steps=8", "ppo.num_minibatches=1", "evaluation.env=off",
             "env.id=five:Five"]  # fmt: skip
    words = [word for setting in small for word in ("--set", setting)]
    assert main(["--mode", "single_batch", "--quiet", *words]) == 0
    demonstrate = ["--mode", "demonstrate", "--run", "run0001", "--episodes", "3"]
    assert main([*demonstrate, "--data", "d.npz"]) == 0
    told, noted = capsys.readouterr()
    assert "wrote 3 episodes, 12 steps" in told and "final error" not in told
    assert "defaults are used" not in noted, "the settings of the run are"
    (tmp_path / "config.yaml").write_text("ppo: {gama: 1}")
    assert main([*demonstrate, "--data", "e.npz"]) == 0


FIVE = """
import gymnasium


class Five(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(5)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return self.place, {}

    def step(self, action):
        self.place += 1
        return self.place, 0.0, self.place == 4, False, {}
"""


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--data", "x.foo"],
        ["--data", "nowhere/x.npz"],
        ["--data", "x.npz", "--episodes", "0"],
        ["--data", "x.npz", "--set", "env.id=CartPole-v1"],
        ["--data", "x.npz", "--run", "run0009"],
    ],
)
def test_wrong_flags_end_with_2_and_one_line(tmp_path, monkeypatch, capsys, flags):
    monkeypatch.chdir(tmp_path)
    assert main(["--mode", "demonstrate", *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "defaults" not in line]
    assert len(errors) == 1 and errors[0].startswith("error: ")
