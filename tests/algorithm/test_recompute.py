"""Advantages anew: those of the collection while nothing has moved, an oracle's afterwards."""

from __future__ import annotations

import pytest
import torch

from ppo import Config
from ppo.algorithm.build import build_environments, build_learner
from ppo.core.errors import UserError

CPU = torch.device("cpu")
PLAIN = ("ppo.normalize_returns=false", "ppo.component_mixing=sum", "ppo.num_steps=230")


def learner_of(env, backend, *overrides):
    config = Config.load(
        None,
        [
            f"env.id={env}", "env.num_envs=3", f"env.backend={backend}", "ppo.num_steps=45",
            "ppo.num_minibatches=3", "ppo.num_epochs=2", "network.hidden_sizes=[8]",
            "ppo.recompute_advantages=true", "system.compile=never", "system.device=cpu",
            *overrides,
        ],
    )  # fmt: skip
    learner = build_learner(config, build_environments(config, CPU), CPU)
    learner.start()
    return learner


@pytest.mark.parametrize(
    ("env", "backend"),
    [
        ("DoubleIntegrator-v0", "torch"),  # terminates
        ("Pendulum-v1", "torch"),
        ("MountainCar-v0", "sync"),  # a time limit cuts
        ("DoubleIntegrator-v0", "sync"),
    ],
)
def test_they_are_the_collection_s_while_nothing_moves_and_an_oracle_s_later(env, backend):
    learner = learner_of(env, backend, *PLAIN)
    learner.step()
    rollout, _ = learner.collector(1)
    batch, rollout, _ = learner.prepare(rollout)
    if env != "DoubleIntegrator-v0":
        assert rollout.truncated.any()
    same = learner.recompute(batch, rollout)
    torch.testing.assert_close(same.returns, batch.returns, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(same.advantages, batch.advantages, rtol=1e-4, atol=1e-3)
    assert same.old_values is batch.old_values and same.obs is batch.obs

    with torch.no_grad():
        for parameter in learner.objective.agent.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    moved = learner.recompute(batch, rollout)
    assert (moved.returns - batch.returns).abs().max() > 0.1
    torch.testing.assert_close(
        moved.advantages, oracle(learner, rollout).flatten(), rtol=1e-3, atol=1e-3
    )


def oracle(learner, rollout):
    """Generalized advantages by their definition, one environment and one step at a time."""
    gamma, trace = 0.99, 0.95

    def value(obs):
        return learner.objective.agent.values_norm(obs.unsqueeze(0)).sum().item()

    num_steps, num_envs = rollout.truncated.shape
    reached = {}
    if rollout.beyond.cut is not None:
        reached = {(t, n): obs for t, n, obs in zip(*rollout.beyond.cut, strict=True)}
        reached = {(int(t), int(n)): obs for (t, n), obs in reached.items()}
    found = torch.zeros(num_steps, num_envs)
    for n in range(num_envs):
        advantage = 0.0
        for t in reversed(range(num_steps)):
            after = rollout.obs[t + 1, n] if t + 1 < num_steps else rollout.beyond.last[n]
            following = value(reached.get((t, n), after))
            if rollout.terminated[t, n]:
                following = 0.0
            error = rollout.rewards[t, n].sum().item() + gamma * following
            error -= value(rollout.obs[t, n])
            ended = bool(rollout.terminated[t, n] | rollout.truncated[t, n])
            advantage = error + (0.0 if ended else gamma * trace * advantage)
            found[t, n] = advantage
    return found


def test_a_training_uses_them():
    records = []
    for chosen in ("true", "false"):
        learner = learner_of("Pendulum-v1", "torch", f"ppo.recompute_advantages={chosen}")
        records.append(learner.step())
    first, second = records
    assert first["return_std"] == second["return_std"]
    assert first["policy_loss"] != second["policy_loss"]


@pytest.mark.parametrize("setting", ["network.memory=lstm", "ppo.normalize_advantages=percentile"])
def test_what_it_cannot_be_combined_with_is_named(setting):
    key = setting.partition("=")[0]
    with pytest.raises(UserError, match=rf"recompute_advantages.*{key}"):
        learner_of("Pendulum-v1", "torch", "ppo.num_minibatches=1", setting)
