"""Pixels: bytes until the network, any order of axes, and numbers beside them."""

from __future__ import annotations

import importlib.util

import gymnasium as gym
import image_env
import numpy as np
import pytest
import torch
from gymnasium import spaces
from learner_tools import HOST, learner, records, settings

from ppo import Trainer, load_policy
from ppo.algorithm.eyes import encoder_kind
from ppo.config import NetworkConfig
from ppo.core.errors import UserError
from ppo.envs.host.stacking import FrameStack
from ppo.envs.make import make_environments
from ppo.envs.observations import ObservationEncoder, layout_of
from ppo.networks import encoders, packing

PICTURE = "image_env:Picture-v0"
FEW = {"network__image_features": 16, "ppo__num_steps": 8, "train__total_timesteps": 96}
SPACE = spaces.Dict(
    {
        "far": spaces.Box(0, 255, (3, 40, 44), np.uint8),
        "near": spaces.Box(0, 255, (36, 50, 1), np.uint8),
        "numbers": spaces.Box(-9, 9, (2, 2), np.float32),
        "choice": spaces.Discrete(3, start=1),
        "small": spaces.Box(0, 255, (7, 7, 3), np.uint8),
    }
)


def test_what_is_packed_into_a_row_is_read_again():
    encoder = ObservationEncoder(SPACE, "x", num_mask=5)
    SPACE.seed(1)
    samples = [SPACE.sample() for _ in range(6)]
    masks = [np.arange(5) <= i % 5 for i in range(6)]
    rows = np.stack([encoder.encode(s, m) for s, m in zip(samples, masks, strict=True)])
    obs, layout = torch.from_numpy(rows).unflatten(0, (2, 3)), encoder.layout
    assert obs.dtype == torch.uint8 and layout.shape == obs.shape[2:]
    far, near = packing.images(obs, layout)
    numbers, mask = packing.floats(obs, layout), packing.mask(obs, layout)
    everything = packing.everything(obs, layout)
    assert numbers.shape == (2, 3, 3 + 4 + 147) and mask.shape == (2, 3, 5)
    for i, sample in enumerate(samples):
        t, n = divmod(i, 3)
        assert np.array_equal(far[t, n], sample["far"])
        assert np.array_equal(near[t, n], sample["near"])
        assert np.array_equal(numbers[t, n, 3:7], sample["numbers"].reshape(-1))
        assert np.array_equal(numbers[t, n, 7:], sample["small"].reshape(-1))
        assert int(numbers[t, n, :3].argmax()) + 1 == sample["choice"]
        assert np.array_equal(mask[t, n], masks[i])
        pixels = np.concatenate([sample["far"].reshape(-1), sample["near"].reshape(-1)])
        assert np.array_equal(everything[t, n, 154:], pixels)


def network(kind, space, **more):
    layout = layout_of(space)
    source = torch.Generator().manual_seed(0)
    made = encoders.REGISTRY.get(kind)(layout, NetworkConfig(image_features=16, **more), source)
    return made, layout


@pytest.mark.parametrize("kind", ["nature_cnn", "impala_cnn"])
def test_the_order_of_an_images_axes_does_not_matter(kind):
    last = spaces.Box(0, 255, (40, 44, 3), np.uint8)
    first = spaces.Box(0, 255, (3, 40, 44), np.uint8)
    one, other = network(kind, last)[0], network(kind, first)[0]
    obs = torch.randint(0, 256, (5, 40, 44, 3), dtype=torch.uint8)
    nothing = torch.zeros(5, 0)
    found = one(nothing, obs)
    torch.testing.assert_close(found, other(nothing, obs.movedim(-1, 1)))
    assert found.shape == (5, 16) and found.std(0).max() > 0


def test_boards_of_bits_are_images():
    """As MinAtar shows them."""
    board = spaces.Box(0, 1, (10, 10, 4), np.bool_)
    env = FrameStack(Numbers(board), 2)
    made, layout = network("impala_cnn", env.observation_space)
    assert made.columns[0][0].in_channels == 8
    row = torch.from_numpy(ObservationEncoder(env.observation_space, "x").encode(env.reset()[0]))
    assert row.shape == (800,) and row.dtype == torch.float32
    numbers = packing.floats(row.unsqueeze(0), layout)
    assert made(numbers, row.unsqueeze(0)).shape == (1, 16)


def test_nature_cnn_has_the_parameters_of_the_paper():
    layout = layout_of(spaces.Box(0, 255, (4, 84, 84), np.uint8))
    made = encoders.REGISTRY.get("nature_cnn")(layout, NetworkConfig(), torch.Generator())
    # 8x8x4x32 + 32, 4x4x32x64 + 64, 3x3x64x64 + 64, 3136x512 + 512
    assert sum(p.numel() for p in made.parameters()) == 8224 + 32832 + 36928 + 1606144


def test_impala_cnn_has_the_parameters_of_the_paper():
    layout = layout_of(spaces.Box(0, 255, (3, 84, 84), np.uint8))
    config = NetworkConfig(image_features=256)
    made = encoders.REGISTRY.get("impala_cnn")(layout, config, torch.Generator())
    stages = 0
    for channels, width in ((3, 16), (16, 32), (32, 32)):  # a convolution, and two blocks of two
        stages += 9 * channels * width + width + 4 * (9 * width * width + width)
    assert sum(p.numel() for p in made.parameters()) == stages + 11 * 11 * 32 * 256 + 256


def test_images_and_numbers_are_encoded_side_by_side():
    made, layout = network("impala_cnn", SPACE, hidden_sizes=[8])
    size, read = made.numbers(layout)
    obs = torch.from_numpy(ObservationEncoder(SPACE, "x").encode(SPACE.sample())).unsqueeze(0)
    assert read(obs).shape == (1, size) == (1, 154)
    assert made(read(obs), obs).shape == (1, made.num_features) == (1, 16 + 16 + 8)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((84, 84, 3), "nature_cnn"), ((4, 36, 40), "nature_cnn"), ((7, 7, 3), "mlp")],
)
def test_auto_takes_convolutions_where_an_image_is_large_enough(shape, kind):
    layout = layout_of(spaces.Box(0, 255, shape, np.uint8))
    assert encoder_kind(NetworkConfig(), layout) == kind
    assert encoder_kind(NetworkConfig(), layout_of(spaces.Box(-1, 1, (4,)))) == "mlp"


@pytest.mark.parametrize(
    ("kind", "space", "message"),
    [
        (
            "nature_cnn",
            spaces.Box(0, 255, (7, 7, 3), np.uint8),
            "at least 36 pixels.*write impala_cnn or mlp$",
        ),
        ("impala_cnn", spaces.Box(0, 255, (4, 4, 3), np.uint8), "at least 5 pixels.*write mlp$"),
        ("impala_cnn", spaces.Box(-1, 1, (4,)), "hold no image"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(kind, space, message):
    with pytest.raises(UserError, match=f"network.encoder: {kind}.*{message}"):
        network(kind, space)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"env__kwargs": "{numbers: true}", "network__shared_encoder": "false"},
        {"env__kwargs": "{numbers: true}", "network__encoder": "mlp"},
        {"env__kwargs": "{shape: [40, 40]}", "env__frame_stack": 3, "network__memory": "gru"},
        pytest.param({"env__kwargs": "{numbers: true}", "env__backend": "async", "env__workers": 1,
                      "env__frame_stack": 2, "network__encoder": "impala_cnn"},
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_resumed_run_on_pixels_is_the_run_that_was_never_stopped(tmp_path, more):
    config = settings(PICTURE, **FEW, **more)
    whole = Trainer(config, tmp_path / "a")
    whole.train()
    Trainer(config, tmp_path / "b").train(batches=2)
    second = Trainer(config, tmp_path / "b", resume="latest")
    second.train()
    assert records(tmp_path / "a" / "run0001") == records(tmp_path / "b" / "run0001")
    for name, tensor in whole.learner.state_dict().items():
        assert torch.equal(tensor, second.learner.state_dict()[name]), name
    policy = load_policy("latest", tmp_path / "a")
    assert policy.predict(whole.envs.observation_space.sample()) in (0, 1)


def test_pixels_stay_bytes_until_the_network():
    run = learner(PICTURE, **FEW)
    rollout, _ = run.collector(0)
    batch, _ = run.prepare(rollout)
    assert rollout.obs.dtype == batch.obs.dtype == torch.uint8
    assert run.collector.current.dtype == torch.uint8
    assert run.objective.agent.normalizer.count == 0  # nothing of them is normalized
    record = run.step()
    assert record["obs_std_ratio"] is None and np.isfinite(record["total_loss"])


class Numbers(gym.Env):
    """Observes its step."""

    def __init__(self, space):
        self.observation_space, self.action_space = space, spaces.Discrete(2)

    def _observe(self):
        return np.full(self.observation_space.shape, self.count, self.observation_space.dtype)

    def reset(self, *, seed=None, options=None):
        self.count = 1
        return self._observe(), {}

    def step(self, action):
        self.count += 1
        return self._observe(), 0.0, False, False, {}


@pytest.mark.parametrize(
    ("shape", "dtype", "stacked", "axis"),
    [
        ((40, 40, 3), np.uint8, (40, 40, 9), 2),
        ((1, 40, 40), np.uint8, (3, 40, 40), 0),
        ((40, 40), np.uint8, (3, 40, 40), 0),
        ((2,), np.float32, (6,), 0),
    ],
)
def test_stacked_frames_are_the_last_ones_and_the_oldest_comes_first(shape, dtype, stacked, axis):
    env = FrameStack(Numbers(spaces.Box(0, 255, shape, dtype)), 3)
    assert env.observation_space.shape == stacked

    def seen(observation):
        assert env.observation_space.contains(observation)
        return [int(part.flat[0]) for part in np.split(observation, 3, axis)]

    assert seen(env.reset()[0]) == [1, 1, 1]
    assert [seen(env.step(0)[0]) for _ in range(3)] == [[1, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_stacking_where_it_cannot_be_is_refused():
    for env, backend in (("CartPole-v1", "vector"), ("DoubleIntegrator-v0", "torch")):
        with pytest.raises(UserError, match="env.frame_stack 1"):
            config = settings(env, env__backend=backend, env__frame_stack=2).env
            make_environments(config, run_seed=0, device=HOST)
    with pytest.raises(UserError, match="cannot be stacked"):
        FrameStack(Numbers(spaces.Discrete(4)), 2)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ale_py") is None, reason="needs the extra atari")
def test_atari_is_stepped_by_its_own_vectorized_form(tmp_path):
    kwargs = "{num_threads: 1, max_num_frames_per_episode: 20, noop_max: 1}"
    config = settings(
        "ALE/Pong-v5", env__backend="auto", env__num_envs=2, env__kwargs=kwargs,
        evaluation__interval=0, evaluation__episodes=2, train__checkpoint_interval=100,
        **(FEW | {"train__total_timesteps": 32}),
    )  # fmt: skip
    trainer = Trainer(config, tmp_path)
    assert trainer.envs.backend == "vector" and trainer.envs.layout.shape == (4, 84, 84)
    trainer.train(batches=1)
    again = Trainer(config, tmp_path, resume="latest")
    again.train()
    log = records(tmp_path / "run0001")
    assert again.status == "finished" and len(log) == 2 and log[-1]["episodes"] > 0
    assert load_policy("latest", tmp_path).agent.layout.shape == (4, 84, 84)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nature_cnn", "impala_cnn", "mlp"])
def test_pixels_are_learned_from(tmp_path, kind):
    config = settings(
        PICTURE, env__kwargs="{numbers: true}", network__encoder=kind, env__num_envs=8,
        ppo__num_steps=32, ppo__num_minibatches=4, train__total_timesteps=4096,
        network__image_features=32, evaluation__interval=0, ppo__gamma=0.0,
    )  # fmt: skip
    trainer = Trainer(config, tmp_path)
    trainer.train()
    assert trainer.evaluations[-1]["mean_return"] > 7.5  # of 8; chance gives 4


@pytest.mark.slow
@pytest.mark.parametrize("numbers", ["true", "false"])
def test_compiled_and_eager_runs_on_pixels_agree(numbers):
    eager, compiled = (
        learner(PICTURE, env__kwargs=f"{{numbers: {numbers}}}", system__compile=how, **FEW)
        for how in ("never", "always")
    )
    for _ in range(3):
        compiled.load_state_dict({k: v.clone() for k, v in eager.state_dict().items()})
        one, other = eager.step(), compiled.step()
        assert one["value_loss"] == pytest.approx(other["value_loss"], rel=1e-3)
        theta = [run.optimizer.flat.theta for run in (eager, compiled)]
        torch.testing.assert_close(*theta, rtol=1e-3, atol=1e-5)


def test_the_light_is_where_the_picture_shows_it():
    env = image_env.Picture()
    picture = env.reset(seed=0)[0]
    halves = picture[:, :24].mean(), picture[:, 24:].mean()
    assert int(np.argmax(halves)) == env.side
