"""Actor and critic see keys of a Dict observation; each key has the encoder of its kind."""

from __future__ import annotations

import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from groups_env import VALUES, Views
from gymnasium import spaces
from learner_tools import learner, records, settings

from ppo import Trainer, load_policy
from ppo.algorithm.eyes import encoder_parts
from ppo.cli import main
from ppo.config import NetworkConfig
from ppo.envs.host.stacking import FrameStack
from ppo.envs.observations import ObservationEncoder, layout_of
from ppo.networks import packing
from ppo.networks.encoders.convolutional import Convolutional
from ppo.networks.encoders.mlp import MLP
from ppo.networks.groups import groups_of
from ppo.training.inspection import inspect_environment

KEYS, VIEWS = "groups_env:Keys-v0", "groups_env:Views-v0"
APART = {"network__shared_encoder": "false"}
ASYMMETRIC = {
    **APART,
    "network__actor_keys": "[position, choice]",
    "network__critic_keys": "[goal, position]",
}
FEW = {"network__image_features": 8, "ppo__num_steps": 4, "train__total_timesteps": 48}


def only(*keys: str) -> str:
    return f"{{only: [{', '.join(keys)}]}}"


# ---- the groups


@pytest.mark.parametrize("more", [{}, APART, {**APART, "network__memory": "gru"}])
def test_groups_of_some_keys_are_an_environment_of_these_keys_alone(tmp_path, more):
    """To the bit: network, statistics, doctor's figures, and what an auxiliary loss predicts."""
    more = {**more, "auxiliary__trajectory_weight": 0.1, "ppo__num_minibatches": 2}
    named = {f"network__{who}_keys": "[wide, goal]" for who in ("actor", "critic")}
    for folder, kwargs in (("a", {**named}), ("b", {"env__kwargs": only("goal", "wide")})):
        Trainer(settings(KEYS, **more, **kwargs), tmp_path / folder).train(batches=3)
    assert records(tmp_path / "a" / "run0001") == records(tmp_path / "b" / "run0001")


def test_all_keys_named_change_no_bit(tmp_path):
    named = {f"network__{who}_keys": f"[{', '.join(VALUES)}]" for who in ("actor", "critic")}
    for folder, more in (("a", {}), ("b", named)):
        Trainer(settings(KEYS, **more), tmp_path / folder).train(batches=2)
    assert records(tmp_path / "a" / "run0001") == records(tmp_path / "b" / "run0001")


def rows_of(space: gym.Space, count: int = 5) -> torch.Tensor:
    space.seed(3)
    encoder = ObservationEncoder(space, "x")
    return torch.from_numpy(np.stack([encoder.encode(space.sample()) for _ in range(count)]))


def moved(rows: torch.Tensor, layout, key: str) -> torch.Tensor:
    """The rows with other entries of one key; [choice, goal, position, wide] are numbers."""
    rows = rows.clone()
    for start, stop in dict(layout.keys)[key]:
        rows[:, start:stop] += 1.0
    return rows


@pytest.mark.parametrize("memory", ["none", "lstm"])
def test_actor_and_critic_depend_on_their_own_keys_alone(memory):
    run = learner(KEYS, **ASYMMETRIC, network__memory=memory)
    for _ in range(2):
        run.step()
    agent = run.objective.agent
    rows = rows_of(run.collector.envs.observation_space)
    before = agent.policy_params(rows), agent.values_norm(rows)
    whole = agent(rows)
    for key in VALUES:
        other = moved(rows, agent.layout, key)
        after = agent.policy_params(other), agent.values_norm(other)
        same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert same == [key not in ("position", "choice"), key not in ("goal", "position")], key
        prediction = agent(other)
        assert torch.equal(prediction.policy, whole.policy) == same[0]
        assert torch.equal(prediction.values_norm, whole.values_norm) == same[1]
    assert "wide" not in {key for key, _ in agent.actor_group.layout.keys}
    assert agent.normalizer.mean.shape == (5,)  # nobody sees `wide`


def test_an_auxiliary_loss_predicts_what_the_critic_sees():
    agent = learner(KEYS, **ASYMMETRIC, auxiliary__trajectory_weight=0.1).objective.agent
    rows = rows_of(spaces.Dict(VALUES))
    predicted = agent.predicted(rows)
    assert predicted.shape == (5, agent.observation_size) == (5, 2)
    assert torch.equal(predicted, agent.critic_group(agent.normalizer(rows)))


@pytest.mark.parametrize("more", [{}, {"network__memory": "gru"}, {"network__layer_norm": "true"}])
def test_a_critic_may_have_layers_of_its_own(tmp_path, more):
    own = {**APART, **more, "network__critic_hidden_sizes": "[24, 12]"}
    agent = learner("CartPole-v1", **own).objective.agent
    shapes = {name: list(value.shape) for name, value in agent.named_parameters()}
    plain = learner("CartPole-v1", **APART, **more).objective.agent
    for name, value in plain.named_parameters():
        if name.startswith("actor"):
            assert shapes.pop(name) == list(value.shape)
    wide = [shape[0] for name, shape in shapes.items() if "encoder" in name and len(shape) == 2]
    assert wide == [24, 12]
    Trainer(settings("CartPole-v1", **own), tmp_path).train(batches=2)
    action = load_policy(tmp_path / "run0001").predict(np.zeros(4, np.float32))
    assert action in (0, 1)


def test_layers_of_the_critic_that_are_the_actors_change_no_bit(tmp_path):
    for folder, more in (("a", {}), ("b", {"network__critic_hidden_sizes": "[16]"})):
        Trainer(settings("CartPole-v1", **APART, **more), tmp_path / folder).train(batches=2)
    assert records(tmp_path / "a" / "run0001") == records(tmp_path / "b" / "run0001")


@pytest.mark.parametrize(
    ("env", "more", "message"),
    [
        (KEYS, {"actor_keys": "[position, speed]"},
         r"network.actor_keys: 'speed' is no key of the observations; allowed: choice, goal, "
         r"position, wide"),
        (KEYS, {"critic_keys": "[speed]"}, r"network.critic_keys: 'speed' is no key .* choice, "),
        (KEYS, {"actor_keys": "[]"}, r"network.actor_keys=\[\].* at least 1 of them or null"),
        ("CartPole-v1", {"critic_keys": "[a]"},
         r"network.critic_keys: \['a'\]: the observations are no Dict; allowed here: null"),
        ("CartPole-v1", {"critic_hidden_sizes": "[8]", "hidden_sizes": "[16]",
                         "shared_encoder": "true"},
         r"network.shared_encoder.*\(network.critic_hidden_sizes \[8\]\) shares no encoder; "
         r"write network.shared_encoder false"),
        (KEYS, {"actor_keys": "[goal]", "shared_encoder": "true"},
         r"network.shared_encoder.*network.actor_keys \[goal\], network.critic_keys null\); "
         r"write network.shared_encoder false"),
    ],
)  # fmt: skip
def test_keys_that_cannot_be_are_refused_in_one_line(tmp_path, capsys, env, more, message):
    more = {"shared_encoder": "false", **more}
    flags = [f"--set=network.{key}={value}" for key, value in more.items()]
    few = ["--set=env.num_envs=2", "--set=ppo.num_steps=8", "--set=ppo.num_minibatches=1"]
    flags = ["--mode", "single_batch", "--results", str(tmp_path), f"--set=env.id={env}", *flags]
    assert main([*flags, *few]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and re.search(message, lines[0]), lines


@pytest.mark.parametrize(
    ("env", "more"),
    [
        (KEYS, {**ASYMMETRIC, "network__memory": "lstm", "env__frame_stack": 2}),
        (VIEWS, {**APART, **FEW, "network__actor_keys": "[camera, vector]",
                 "network__critic_keys": "[depth, vector]", "network__memory": "gru",
                 "env__frame_stack": 2}),
    ],
)  # fmt: skip
def test_a_resumed_run_with_groups_is_the_run_that_was_never_stopped(tmp_path, env, more):
    config = settings(env, **{**more, "train__total_timesteps": 4 * 16 * 3})
    whole = Trainer(config, tmp_path / "a")
    whole.train(batches=3)
    Trainer(config, tmp_path / "b").train(batches=2)
    Trainer(config, tmp_path / "b", resume="latest").train(batches=1)
    assert records(tmp_path / "a" / "run0001") == records(tmp_path / "b" / "run0001")


def test_rewards_times_a_power_of_two_change_no_bit_of_an_asymmetric_policy():
    runs = [learner(KEYS, **ASYMMETRIC, env__reward_scale=scale) for scale in (1.0, 2.0**20)]
    for _ in range(2):
        plain, scaled = (run.step() for run in runs)
        assert scaled["policy_loss"] == plain["policy_loss"]
    own, other = (run.objective.agent.state_dict() for run in runs)
    for name in own:
        assert torch.equal(own[name], other[name]) or name.startswith("value_head"), name


# ---- a policy that exists


def test_a_policy_needs_the_actors_keys_alone(tmp_path):
    Trainer(settings(KEYS, **ASYMMETRIC), tmp_path).train(batches=2)
    policy = load_policy("latest", tmp_path)
    sample = spaces.Dict(VALUES).sample()
    own = {key: sample[key] for key in ("choice", "position")}
    assert np.array_equal(policy.predict(own), policy.predict(sample))
    with pytest.raises(ValueError, match="entry 'position' is missing"):
        policy.predict({"choice": sample["choice"], "goal": sample["goal"]})


def test_the_mask_is_needed_even_where_the_actor_does_not_see_it(tmp_path):
    config = settings(
        KEYS, **APART, network__actor_keys="[position]", network__critic_keys="[goal, position]",
        env__kwargs="{mask: true}",
    )  # fmt: skip
    Trainer(config, tmp_path).train(batches=1)
    policy = load_policy("latest", tmp_path)
    position = np.array([0.5], np.float32)
    masks = [np.eye(3, dtype=np.int8)[i] for i in range(3)]
    found = [policy.predict({"position": position, "action_mask": mask}) for mask in masks]
    assert found == [0, 1, 2]
    with pytest.raises(ValueError, match="entry 'action_mask' is missing"):
        policy.predict({"position": position})


# ---- images of any type


def test_each_key_has_the_encoder_of_its_kind():
    layout = layout_of(Views().observation_space)
    shapes = [(image.shape, image.is_bytes) for image in layout.images]
    assert shapes == [((40, 44, 3), True), ((36, 40, 1), False), ((2, 36, 38), False)]
    made = learner(VIEWS, **FEW).objective.agent.encoder
    assert [column[0].in_channels for column in made.columns] == [3, 1, 2]
    assert made.beside[0].in_features == 3 and made.num_features == 3 * 8 + 16


@pytest.mark.parametrize(
    ("space", "is_image"),
    [
        (spaces.Box(0, 1, (40, 40, 3), np.float32), True),
        (spaces.Box(0, 1, (3, 40, 40), np.float64), True),
        (spaces.Box(0, 60_000, (40, 40), np.uint16), True),
        (spaces.Box(0, 255, (40, 40), np.uint8), True),
        (spaces.Box(0, 1, (40, 40, 4), np.bool_), True),
        (spaces.Box(0, 1, (40, 35), np.float32), False),
        (spaces.Box(0, 1, (40,), np.float32), False),
        (spaces.Box(0, 1, (40, 40, 3, 2), np.float32), False),
    ],
)
def test_a_large_box_of_two_or_three_axes_is_an_image_whatever_its_type(space, is_image):
    for part in (space, spaces.Dict({"a": space})):
        kind = encoder_parts(NetworkConfig(), [layout_of(part)])[0].kind
        assert issubclass(kind, Convolutional) == is_image
        old = encoder_parts(NetworkConfig(images="uint8"), [layout_of(part)])[0].kind
        assert old is MLP


def test_what_is_read_of_a_row_is_what_was_shown():
    env = Views()
    env.reset(seed=5)
    shown = env._observe()
    layout = layout_of(env.observation_space)
    row = torch.from_numpy(ObservationEncoder(env.observation_space, "x").encode(shown))
    obs = row.unsqueeze(0)
    decoded = packing.everything(obs, layout)
    for rows in (obs, decoded):
        numbers = packing.floats(rows, layout)
        found = [*packing.images(rows, layout), *packing.float_images(numbers, layout)]
        for image, key in zip(found, ("camera", "depth", "far"), strict=True):
            expected = np.float32(shown[key]).reshape(image.shape)
            np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(packing.vectors(numbers, layout)[0], shown["vector"])
        groups = groups_of(layout, ["far", "camera"], ["vector", "depth"])
        part = groups.actor.layout
        (camera,) = packing.images(rows, part)
        (far,) = packing.float_images(groups.actor(numbers), part)
        np.testing.assert_array_equal(camera[0], shown["camera"])
        np.testing.assert_array_equal(far[0], np.float32(shown["far"]))
        assert groups.actor(packing.everything(rows, layout)).shape[1] == part.num_entries
        np.testing.assert_array_equal(
            packing.vectors(groups.critic(numbers), groups.critic.layout)[0], shown["vector"]
        )


def test_each_of_two_cameras_is_seen_by_its_group():
    cameras = {"left": (36, 40, 3), "right": (40, 36, 1)}
    boxes = {key: spaces.Box(0, 255, shape, np.uint8) for key, shape in cameras.items()}
    space = spaces.Dict({**boxes, "speed": spaces.Box(-1, 1, (2,))})
    shown, layout = space.sample(), layout_of(space)
    obs = torch.from_numpy(ObservationEncoder(space, "x").encode(shown)).unsqueeze(0)
    groups = groups_of(layout, ["left"], ["right", "speed"])
    for group, key in ((groups.actor, "left"), (groups.critic, "right")):
        (image,) = packing.images(obs, group.layout)
        np.testing.assert_array_equal(image[0], shown[key])
        entries = group(packing.everything(obs, layout))
        np.testing.assert_array_equal(entries[0, -shown[key].size :], shown[key].reshape(-1))


def test_pixels_of_floats_are_normalized_by_their_channel():
    run = learner(VIEWS, **FEW)
    normalizer, layout = run.objective.agent.normalizer, run.objective.agent.layout
    normalizer.count.zero_()
    rows = rows_of(spaces.Dict({**Views.spaces_, "depth": spaces.Box(0, 9, (36, 40))}), 6)
    normalizer.update(rows[:2], torch.ones(2))
    normalizer.update(rows[2:], torch.tensor([1.0, 1.0, 1.0, 0.0]))
    numbers = packing.floats(rows[:5], layout)
    depth, far = packing.float_images(numbers, layout)
    seen = packing.float_images(normalizer(rows[:5]), layout)
    for raw, found, axes in ((depth, seen[0], (0, 1, 2)), (far, seen[1], (0, 2, 3))):
        raw = raw.double().numpy()
        expected = (raw - raw.mean(axes, keepdims=True)) / raw.std(axes, keepdims=True)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    vector = packing.vectors(numbers, layout).double().numpy()
    expected = (vector - vector.mean(0)) / vector.std(0)
    found = packing.vectors(normalizer(rows[:5]), layout)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_inspection_lists_the_vector_and_not_the_pixels():
    config = settings(VIEWS, **FEW)
    assert len(inspect_environment(config, 32)["observations"]) == 3


def test_a_depth_image_of_two_axes_is_stacked_along_channels():
    env = FrameStack(Views(only=["depth", "vector"]), 3)
    assert env.observation_space["depth"].shape == (3, 36, 40)
    first = env.reset(seed=1)[0]["depth"]
    second = env.step(np.zeros(1))[0]["depth"]
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(second[1], first[2]) and not np.array_equal(second[2], first[2])
    assert layout_of(env.observation_space).images[0].channels == 3


@pytest.mark.parametrize("kind", ["nature_cnn", "mlp"])
def test_a_critic_without_images_beside_an_actor_with_them_is_an_mlp(kind):
    more = {"network__actor_keys": "[camera, depth]", "network__critic_keys": "[vector]"}
    agent = learner(VIEWS, **APART, **FEW, **more, network__encoder=kind).objective.agent
    assert isinstance(agent.critic_encoder, MLP)
    assert isinstance(agent.actor_encoder, Convolutional) == (kind == "nature_cnn")


def test_a_run_from_before_reads_images_of_floats_as_it_was_trained(tmp_path):
    more = {"env__kwargs": only("depth", "vector"), "network__shared_encoder": True, **FEW}
    Trainer(settings(VIEWS, **more, network__images="uint8"), tmp_path).train(batches=1)
    path = tmp_path / "run0001" / "config.yaml"
    new = ("  images:", "  actor_keys:", "  critic_keys:")
    lines = [line for line in path.read_text().splitlines() if not line.startswith(new)]
    path.write_text("\n".join(lines) + "\n")
    policy = load_policy("latest", tmp_path)
    assert policy.config.network.images == "uint8"
    assert isinstance(policy.agent.encoder, MLP)
    assert np.isfinite(policy.predict(policy.observation_space.sample())).all()
