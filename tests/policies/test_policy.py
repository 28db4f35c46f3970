"""Policies with masks, memory and pixels are exported, demonstrated and drawn like any other."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from learner_tools import learner, settings

from ppo import Trainer
from ppo.core.errors import UserError
from ppo.policies.demonstrate import demonstrate
from ppo.policies.demonstrations import read
from ppo.policies.evaluate import evaluate, render
from ppo.policies.export import export
from ppo.policies.policy import Policy, load_policy
from ppo.policies.pretrain import pretrain

MASKED, PICTURE = "masked_env:MaskedInfo-v0", "image_env:Picture-v0"
TINY = {"ppo__num_steps": 8, "train__total_timesteps": 32, "evaluation__interval": 0,
        "network__image_features": 16}  # fmt: skip


def run(folder, env, **more):
    trainer = Trainer(settings(env, **TINY, **more), folder)
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("env", "more", "inputs"),
    [
        (MASKED, {}, [(5,), (3,)]),  # the masks, apart from the observation
        ("TMaze-v0", {"network__memory": "lstm"}, [(4,)]),
        ("TMaze-v0", {"network__memory": "gru", "network__shared_encoder": "false"}, [(4,)]),
        (PICTURE, {}, [(40, 48, 3)]),
        (PICTURE, {"env__kwargs": "{numbers: true}"}, [(40, 48, 3), (), (2,)]),
    ],
)
def test_what_is_exported_acts_as_the_policy(tmp_path, env, more, inputs):
    run(tmp_path, env, **more)
    done = export("run0001", tmp_path, "torch_export")
    assert [each.shape for each in done.inputs] == inputs
    assert done.largest_difference <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "more"), [(MASKED, {}), ("TMaze-v0", {"network__memory": "lstm"}), (PICTURE, {})]
)
def test_onnx_acts_as_the_policy(tmp_path, env, more):
    run(tmp_path, env, **more)
    done = export("run0001", tmp_path, "onnx")
    assert done.runtime == "onnxruntime" and done.largest_difference <= 1e-4


def test_demonstrations_of_a_masked_policy_hold_observations_alone_and_can_be_imitated(tmp_path):
    trainer = run(tmp_path, MASKED)
    path = tmp_path / "played.npz"
    demonstrate(trainer.config, path, 4, "run0001", tmp_path)
    found = read(path, trainer.envs.observation_space, trainer.envs.action_space)
    assert found.obs.shape[1:] == (3,)
    config = settings(MASKED, **TINY, imitation__epochs=2)
    assert np.isfinite(pretrain(config, path, tmp_path).result["mean_return"])
    trained = run(tmp_path, MASKED, train__initial_policy="run0002")
    assert trained.status == "finished"


def test_imitation_refuses_what_it_cannot_train(tmp_path):
    run(tmp_path, "TMaze-v0", network__memory="lstm")
    path = tmp_path / "played.npz"
    demonstrate(settings("TMaze-v0"), path, 4, "run0001", tmp_path)
    with pytest.raises(UserError, match="network.memory"):
        pretrain(settings("TMaze-v0", network__memory="lstm"), path, tmp_path)


def test_another_checkpoint_than_best_and_latest_is_refused(tmp_path):
    run(tmp_path, "CartPole-v1")
    assert load_policy(tmp_path / "run0001", which="latest").checkpoint.startswith("latest")
    with pytest.raises(UserError, match="which: 'last'; allowed: best, latest"):
        load_policy(tmp_path / "run0001", which="last")


def test_a_configuration_that_was_edited_since_is_told(tmp_path):
    run(tmp_path, "CartPole-v1")
    path = tmp_path / "run0001" / "config.yaml"
    former = path.read_text()
    path.write_text(re.sub(r"  hidden_sizes: \[.*?\]", "  hidden_sizes: [3]", former))
    assert path.read_text() != former
    with pytest.raises(UserError, match="run0001: its checkpoint does not fit the network of its"):
        load_policy(tmp_path / "run0001")


def test_memory_and_masks_are_evaluated(tmp_path):
    run(tmp_path, "TMaze-v0", network__memory="gru")
    assert evaluate(tmp_path / "run0001", episodes=6)["episodes"] == 6
    run(tmp_path, MASKED)
    assert evaluate(tmp_path / "run0002", episodes=6, deterministic=False)["mean_length"] == 7


def test_an_episode_of_a_policy_with_memory_is_drawn(tmp_path):
    run(tmp_path, "TMaze-v0", network__memory="gru")
    path = render(load_policy(tmp_path / "run0001"), tmp_path / "videos" / "one.gif", 1)
    assert path.stat().st_size > 0


def test_observations_go_to_the_device_of_the_policy():
    """Environments of the host are played by a policy on a GPU."""
    made = learner("Pendulum-v1")
    envs = made.collector.envs
    agent = made.objective.agent.to("meta")
    policy = Policy(agent, settings("Pendulum-v1"), envs.observation_space, envs.action_space)
    for deterministic in (True, False):
        assert policy.act(envs.reset(), deterministic, seed=1).is_meta


def test_a_policy_learned_with_bfloat16_plays_in_float32(tmp_path):
    trained = run(tmp_path, "CartPole-v1", system__precision="bfloat16").learner.objective.agent
    played = load_policy(tmp_path / "run0001").agent
    assert (trained.precision, played.precision) == (torch.bfloat16, torch.float32)
    row = torch.tensor([[0.1, -0.2, 0.3, -0.4]])
    params = played.policy_params(row)
    assert not torch.equal(params, trained.policy_params(row))
    trained.precision = torch.float32
    assert torch.equal(params, trained.policy_params(row))
