"""The critic against the true values of its own policy, from Gymnasium's transition tables."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from value_tools import make_learner

GAMMA = 0.99
TASKS = {
    "FrozenLake-v1": (30, "env.num_envs=16", "ppo.num_steps=128", "ppo.num_minibatches=8"),
    "Taxi-v4": (60, "env.num_envs=16", "ppo.num_steps=128", "ppo.num_minibatches=8"),
}


def true_values(table, policy):
    """Values [S] of a policy [S, A] by solving `V = r + gamma P V` (time limits left aside)."""
    size = len(table)
    transitions, rewards = np.zeros((size, size)), np.zeros(size)
    for state, actions in table.items():
        for action, outcomes in actions.items():
            for probability, after, reward, ends in outcomes:
                weight = policy[state, action] * probability
                rewards[state] += weight * reward
                transitions[state, after] += weight * (not ends)
    return np.linalg.solve(np.eye(size) - GAMMA * transitions, rewards)


def judged(env_id, scale=1.0):
    """Explained variance of the true values by the critic's, over the states of one rollout."""
    batches, *settings = TASKS[env_id]
    learner = make_learner(
        f"env.id={env_id}",
        "env.backend=sync",
        f"env.reward_scale={scale!r}",
        "ppo.num_epochs=10",
        f"ppo.gamma={GAMMA}",
        *settings,
        small=False,
    )
    for _ in range(batches):
        learner.step()
    visited = learner.collector(batches)[0].obs.flatten(0, 1)
    agent, frame = learner.objective.agent, learner.objective.value_scale
    with torch.no_grad():
        states = visited.argmax(-1).numpy()
        eye = torch.eye(visited.shape[-1])
        policy = torch.softmax(agent.policy_params(eye), -1).double().numpy()
        values = frame.from_norm(agent.values_norm(eye))[:, 0].double().numpy() / scale
    truth = true_values(gym.make(env_id).unwrapped.P, policy)
    error = truth[states] - values[states]
    return 1 - error.var() / truth[states].var(), np.abs(error.mean()) / truth[states].std()


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 1e4, 1e-4])
@pytest.mark.parametrize("env_id", TASKS)
def test_values_of_a_table_are_the_true_ones(env_id, scale):
    explained, offset = judged(env_id, scale)
    assert explained > 0.8
    assert offset < 0.5
