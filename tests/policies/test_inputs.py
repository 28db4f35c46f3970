"""Exported policies of Dict observations: one raw input for each key that the actor sees."""

from __future__ import annotations

import json

import groups_env
import numpy as np
import pytest
import torch
from gymnasium import spaces
from image_env import Picture
from learner_tools import settings

from ppo import Trainer, load_policy
from ppo.policies import export as exporting
from ppo.policies.export import export
from ppo.policies.inputs import Inputs, random_samples

APART = {"network__shared_encoder": "false"}
FEW = {"network__image_features": 8, "ppo__num_steps": 4}
KEYS = "groups_env:Keys-v0"
CASES = {
    "all": (KEYS, {}),
    "asymmetric": (
        KEYS, {**APART, "network__actor_keys": "[choice, wide]", "network__critic_keys": "[goal]"}
    ),
    "memory": (KEYS, {**APART, "network__actor_keys": "[position]", "network__memory": "lstm"}),
    "mask": (
        KEYS, {**APART, "network__actor_keys": "[position]", "env__kwargs": "{mask: true}"}
    ),
    "views": (
        "groups_env:Views-v0",
        {**APART, **FEW, "network__actor_keys": "[camera, depth, vector]"},
    ),
    "picture": ("image_env:Picture-v0", {**FEW, "env__kwargs": "{numbers: true}"}),
}  # fmt: skip
NAMES = {
    "all": "choice int64 [N], goal float32 [N, 1], position float32 [N, 1], wide float64 [N, 2, 2]",
    "asymmetric": "choice int64 [N], wide float64 [N, 2, 2]",
    "memory": "position float32 [N, 1]",
    "mask": "action_mask int8 [N, 3], position float32 [N, 1]",
    "views": "camera uint8 [N, 40, 44, 3], depth float32 [N, 36, 40], vector float32 [N, 3]",
    "picture": "a_picture uint8 [N, 40, 48, 3], choice int64 [N], numbers float32 [N, 2]",
}
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    for name, (env, more) in CASES.items():
        config = settings(env, **more, network__initial_log_std=1.0)
        Trainer(config, folder / name).train(batches=1)
    return folder


def shown(name: str) -> spaces.Dict:
    """An observation space as the environment has it."""
    if name == "picture":
        return Picture(numbers=True).observation_space
    kind = groups_env.Views if name == "views" else groups_env.Keys
    return kind(mask=name == "mask").observation_space


def raw(name: str, policy, count: int = 6) -> list[dict]:
    space = shown(name)
    space.seed(7)
    found = [space.sample() for _ in range(count)]
    for i, observation in enumerate(found):
        if "action_mask" in observation:
            observation["action_mask"] = np.eye(3, dtype=np.int8)[i % 3]
        if "depth" in observation:
            observation["depth"] = observation["depth"] + 5
    return found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["torch_export", pytest.param("onnx", marks=SLOW)])
def test_a_file_takes_what_the_environment_shows_of_the_actors_keys(results, name, kind):
    if kind == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    done = export("latest", results / name, kind)
    assert done.runtime and done.largest_difference <= 1e-4
    assert ", ".join(map(str, done.inputs)) == NAMES[name]
    policy = load_policy("latest", results / name)
    seen = [
        {key: value for key, value in observation.items() if key in NAMES[name]}
        for observation in raw(name, policy)
    ]
    given = {one.name: torch.from_numpy(np.stack([o[one.name] for o in seen]))
             for one in done.inputs}  # fmt: skip
    for one in done.inputs:
        assert given[one.name].dtype == getattr(torch, one.dtype)
        assert tuple(given[one.name].shape[1:]) == one.shape
    run = exporting._run_onnx if kind == "onnx" else exporting._run_program
    states = (torch.zeros(len(seen), 16),) if name == "memory" else ()  # the actor's alone
    found = run(done.path, given, *states)[0]
    expected = []
    for observation in seen:
        policy.reset()
        expected.append(policy.predict(observation))
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-4, atol=1e-5)
    assert len(np.unique(found)) > 1 and found.dtype == np.asarray(expected).dtype


ALONE = {  # no Dict: what is shown beside or in place of a row of numbers
    "masks": ("masked_env:MaskedInfo-v0", "action_mask int8 [N, 5], observations float32 [N, 3]"),
    "choice": ("FrozenLake-v1", "observations int64 [N]"),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_file_takes_masks_apart_and_a_choice_as_its_number(tmp_path, name):
    env, inputs = ALONE[name]
    Trainer(settings(env), tmp_path).train(batches=1)
    done = export("latest", tmp_path, "torch_export")
    assert ", ".join(map(str, done.inputs)) == inputs
    policy = load_policy("latest", tmp_path)
    given, expected = {one.name: [] for one in done.inputs}, []
    for i in range(5):
        observation = i if name == "choice" else np.full(3, i / 5 - 0.5, np.float32)
        shown = {"observations": observation, "action_mask": np.eye(5, dtype=np.int8)[i]}
        mask = {"action_mask": shown["action_mask"]} if "action_mask" in given else {}
        expected.append(policy.predict(observation, **mask))
        for key, values in given.items():
            values.append(shown[key])
    rows = {key: torch.from_numpy(np.stack(values)) for key, values in given.items()}
    np.testing.assert_array_equal(exporting._run_program(done.path, rows)[0], expected)
    assert name == "choice" or expected == list(range(5))


@pytest.mark.slow
def test_an_onnx_file_describes_its_inputs_in_their_order(results):
    onnxruntime = pytest.importorskip("onnxruntime")
    done = export("latest", results / "views", "onnx")
    session = onnxruntime.InferenceSession(str(done.path))
    said = session.get_modelmeta().custom_metadata_map
    inputs = json.loads(said["observations"])
    assert [one["name"] for one in inputs] == ["camera", "depth", "vector"]
    assert [one["name"] for one in inputs] == [item.name for item in session.get_inputs()]
    assert inputs[1] == {"name": "depth", "dtype": "float32", "shape": [36, 40]}
    assert said["environment"] == "groups_env:Views-v0"
    assert json.loads(said["actions"]) == [{"name": "actions", "dtype": "float32", "shape": [1]}]


def test_a_program_describes_its_inputs(results):
    done = export("latest", results / "asymmetric", "torch_export")
    said = {"observations": ""}
    torch.export.load(done.path, extra_files=said)
    assert [one["name"] for one in json.loads(said["observations"])] == ["choice", "wide"]


@pytest.mark.parametrize("name", ["all", "views", "mask"])
def test_samples_are_observations_as_spread_as_those_of_training(results, name):
    policy = load_policy("latest", results / name)
    inputs = Inputs(policy)
    samples = random_samples(inputs, 200)
    rows = inputs.rows(samples)
    assert rows.shape == (200, *policy.agent.layout.shape)
    normalized = policy.agent.actor_group(policy.agent.normalizer(rows))
    varying = normalized.std(0)
    assert 0.3 < varying.median() < 5.0


def test_an_entry_may_have_the_name_of_an_output(results):
    inputs = Inputs(load_policy("latest", results / "all"))
    assert inputs.free("actions") == "actions"
    inputs.all = (inputs.all[0]._replace(name="actions"), *inputs.all[1:])
    assert inputs.free("actions") == "policy_actions"
