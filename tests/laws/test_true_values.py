"""The critic against the true values of its own policy, from Gymnasium's transition tables."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from value_tools import make_learner

GAMMA = 0.99
TASKS = {
    "FrozenLake-v1": (30, "env.num_envs=16", "ppo.num_steps=128", "ppo.num_minibatches=8"),
    "Taxi-v4": (40, "env.num_envs=16", "ppo.num_steps=128", "ppo.num_minibatches=8"),
}
LEAST_EXPLAINED, LARGEST_ERROR = 0.9, 0.3


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


def inputs_of(env, size):
    """What the networks see of each state [S, size]: which it is, and its mask if it has one."""
    states = torch.eye(len(env.P))
    if size == len(env.P):
        return states
    masks = np.stack([env.action_mask(state) for state in env.P])
    return torch.cat([states, torch.from_numpy(masks).float()], -1)


def judged(env_id, scale=1.0):
    """Over the states of one rollout: explained variance of the true values by the critic's, and
    root mean squared error in deviations of the returns.
    """
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
    env = gym.make(env_id).unwrapped
    inputs = inputs_of(env, visited.shape[-1])
    states = visited[:, : len(env.P)].argmax(-1)
    assert torch.equal(inputs[states], visited)
    with torch.no_grad():
        policy = torch.softmax(agent.policy_params(inputs), -1).double().numpy()
        values = frame.from_norm(agent.values_norm(inputs))[:, 0].double().numpy() / scale
    truth = true_values(env.P, policy)
    error = truth[states] - values[states]
    explained = 1 - error.var() / truth[states].var()
    return explained, np.sqrt(np.square(error).mean()) / (float(frame.std[0]) / scale)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 1e4, 1e-4])
@pytest.mark.parametrize("env_id", TASKS)
def test_values_of_a_table_are_the_true_ones(env_id, scale):
    explained, error_over_std = judged(env_id, scale)
    assert explained > LEAST_EXPLAINED
    assert error_over_std < LARGEST_ERROR
