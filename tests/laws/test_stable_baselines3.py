"""With all cures off this is the PPO of Stable-Baselines3, gradient step by gradient step.

Both get the same weights, the same rollout and the same minibatches in the same order; each takes
its own values, log probabilities, advantages, losses, gradients and Adam.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from learner_tools import learner
from torch import nn

STEPS, ENVS, EPOCHS, MINIBATCHES = 32, 4, 3, 4
PLAIN = {
    "env__num_envs": ENVS, "env__normalize_observations": "false", "env__calibration_steps": 0,
    "network__shared_encoder": "false", "network__hidden_sizes": "[16, 16]",
    "ppo__num_steps": STEPS, "ppo__num_epochs": EPOCHS, "ppo__num_minibatches": MINIBATCHES,
    "ppo__learning_rate": 3e-4, "ppo__entropy_coefficient": 0.01, "ppo__value_loss_weight": 0.5,
    "ppo__value_loss_unit": "network", "ppo__normalize_returns": "false",
    "ppo__value_clip": "none",
}  # fmt: skip
CASES = {
    "discrete": ("CartPole-v1", {"env__kwargs": "{max_episode_steps: 9}"}, None),
    "continuous": ("changed_env:Changed-v0", {}, None),
    "value clip": (
        "CartPole-v1",
        {"ppo__value_clip": "absolute", "ppo__value_clip_form": "plain",
         "ppo__value_clip_epsilon": 0.02},
        0.02,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("normalize", ["none", "minibatch"])
@pytest.mark.parametrize("case", CASES)
def test_twelve_gradient_steps_are_those_of_stable_baselines3(monkeypatch, case, normalize):
    pytest.importorskip("stable_baselines3")
    env_id, more, clip_range_vf = CASES[case]
    ours = learner(env_id, **PLAIN | more, ppo__normalize_advantages=normalize)
    ours.step()  # the values of a first batch are 0 by construction
    nn.init.normal_(
        ours.objective.agent.critic.weight, std=0.3, generator=torch.Generator().manual_seed(1)
    )
    for moment in (ours.optimizer.first, ours.optimizer.second, ours.optimizer.steps):
        moment.zero_()
    theirs = counterpart(ours, normalize == "minibatch", clip_range_vf)
    names = names_of(ours.objective.agent)
    own, other = ours.objective.agent.state_dict(), theirs.policy.state_dict()
    theirs.policy.load_state_dict({**other, **{b: own[a].clone() for a, b in names.items()}})
    before = {name: own[name].clone() for name in names}

    rollout, reached, orders = step(ours, monkeypatch)
    fill(theirs, rollout, reached)
    with monkeypatch.context() as patched:
        # Advantages are divided by a deviation of ddof 0 here, of ddof 1 there (ppo_details.md).
        patched.setattr(torch.Tensor, "std", lambda self: self.var(correction=0).sqrt())
        patched.setattr(np.random, "permutation", lambda _: next(orders))
        theirs.train()

    assert theirs._n_updates == EPOCHS and int(ours.optimizer.steps) == EPOCHS * MINIBATCHES
    own, other = ours.objective.agent.state_dict(), theirs.policy.state_dict()
    for name, same in names.items():
        moved = (own[name] - before[name]).abs().max()
        gap = (own[name] - other[same]).abs().max()
        assert moved > 1e-4, f"{name} did not move"
        assert gap < 1e-6, f"{name}: {gap:.2g} apart after a move of {moved:.2g}"


def names_of(agent: nn.Module) -> dict[str, str]:
    """Names of our parameters, and of theirs."""
    found = {}
    for layer in (0, 2):
        for kind in ("weight", "bias"):
            for own, other in (("actor", "policy"), ("critic", "value")):
                theirs = f"mlp_extractor.{other}_net.{layer}.{kind}"
                found[f"{own}_encoder.{layer}.{kind}"] = theirs
    for own, other in (("actor", "action_net"), ("critic", "value_net")):
        found |= {f"{own}.{kind}": f"{other}.{kind}" for kind in ("weight", "bias")}
    if "distribution.log_std" in agent.state_dict():
        found["distribution.log_std"] = "log_std"
    assert set(found) == {name for name, _ in agent.named_parameters()}
    return found


def counterpart(ours, normalize, clip_range_vf):
    from stable_baselines3 import PPO
    from stable_baselines3.common.logger import configure
    from stable_baselines3.common.vec_env import DummyVecEnv

    config = ours.config
    make = lambda: gym.make(config.env.id, **config.env.kwargs)  # noqa: E731
    sizes = list(config.network.hidden_sizes)
    made = PPO(
        "MlpPolicy",
        DummyVecEnv([make] * ENVS),
        n_steps=STEPS,
        batch_size=STEPS * ENVS // MINIBATCHES,
        n_epochs=EPOCHS,
        learning_rate=config.ppo.learning_rate,
        gamma=config.ppo.gamma,
        gae_lambda=config.ppo.gae_lambda,
        clip_range=config.ppo.clip_epsilon,
        clip_range_vf=clip_range_vf,
        normalize_advantage=normalize,
        ent_coef=config.ppo.entropy_coefficient,
        vf_coef=config.ppo.value_loss_weight,
        max_grad_norm=config.ppo.max_grad_norm,
        policy_kwargs={"net_arch": {"pi": sizes, "vf": sizes}, "activation_fn": nn.Tanh},
        device="cpu",
    )
    made.set_logger(configure(None, []))
    return made


def step(ours, monkeypatch):
    """One batch of ours: its rollout with the observations [T, N, ...] that its steps reached, and
    its orders of samples as theirs are numbered."""
    seen, reached, orders = [], [], []
    collect, shuffled = ours.collector.__call__, ours.update._orders
    play = ours.collector.envs.step

    def played(actions):
        found = play(actions)
        reached.append(found.final_obs.clone())
        return found

    def collected(*args):
        seen.append(collect(*args))
        return seen[-1]

    def told(*args):
        for order in shuffled(*args):
            time, env = order.numpy() // ENVS, order.numpy() % ENVS
            orders.append(env * STEPS + time)
            yield order

    monkeypatch.setattr(type(ours.collector), "__call__", lambda self, *args: collected(*args))
    monkeypatch.setattr(ours.update, "_orders", told)
    monkeypatch.setattr(ours.collector.envs, "step", played)
    record = ours.step()
    assert not record["events"], record["events"]
    return seen[0][0], torch.stack(reached), iter(orders)


@torch.no_grad()
def fill(theirs, rollout, reached):
    """Their buffer with the same experience; values and log probabilities are their own."""
    policy, buffer = theirs.policy, theirs.rollout_buffer
    begins = np.ones(ENVS)
    buffer.reset()
    assert bool(rollout.truncated.any() | rollout.terminated.any())
    for t in range(STEPS):
        actions = rollout.actions[t]
        given = actions.flatten() if actions.dtype == torch.int64 else actions
        values, log_probs, _ = policy.evaluate_actions(rollout.obs[t], given)
        rewards = rollout.rewards[t].squeeze(-1).clone()
        # As theirs does: a time limit pays what the state reached is worth.
        limited = (rollout.truncated[t] & ~rollout.terminated[t]).float()
        worth = policy.predict_values(reached[t]).flatten()
        rewards += theirs.gamma * worth * limited
        buffer.add(
            rollout.obs[t].numpy(), actions.numpy(), rewards.numpy(), begins, values, log_probs
        )
        begins = (rollout.truncated[t] | rollout.terminated[t]).numpy()
    last = policy.predict_values(reached[-1])
    buffer.compute_returns_and_advantage(last_values=last, dones=begins)
