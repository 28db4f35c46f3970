"""Memory: sequences equal steps, episodes know nothing of each other, and a resume is exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learner_tools import learner, records, settings

from ppo import Trainer, load_policy
from ppo.core.data import Batch
from ppo.core.errors import UserError
from ppo.losses import balancers
from ppo.networks import MEMORIES

KINDS = pytest.mark.parametrize("kind", ["lstm", "gru"])
CUT = "{max_episode_steps: 10}"  # episodes of CartPole that end both ways


def memory(kind, features=6, size=5):
    source = torch.Generator().manual_seed(0)
    made = MEMORIES.get(kind)(features, size, source)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=source)
    return made


@KINDS
def test_without_resets_a_sequence_is_that_of_torch(kind):
    made = memory(kind)
    theirs = getattr(torch.nn, kind.upper())(6, 5)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(made.inputs.weight)
        theirs.bias_ih_l0.copy_(made.inputs.bias)
        theirs.weight_hh_l0.copy_(made.recurrent.weight)
        theirs.bias_hh_l0.copy_(made.recurrent.bias)
    features = torch.randn(9, 4, 6)
    found = made.sequence(features.flatten(0, 1), None, torch.zeros(36, dtype=torch.bool), 9)
    torch.testing.assert_close(found.unflatten(0, (9, 4)), theirs(features)[0])


@KINDS
def test_a_sequence_with_resets_equals_its_steps(kind):
    made = memory(kind)
    features, starts = torch.randn(9, 4, 6), torch.rand(9, 4) < 0.3
    state = torch.randn(4, made.num_states)
    states, outputs = [], []
    for t in range(9):
        if t:
            state = state * ~starts[t].unsqueeze(-1)
        states.append(state)
        output, state = made.advance(features[t], state)
        outputs.append(output)
    every = torch.stack(states).flatten(0, 1)
    flat, begun = features.flatten(0, 1), starts.flatten()
    torch.testing.assert_close(made.sequence(flat, every, begun, 9), torch.cat(outputs))
    # From its own state each step stands alone.
    torch.testing.assert_close(made.sequence(flat, every, None, 1), torch.cat(outputs))


def by_hand(run, rollout):
    """Values of a rollout, one observation after the other."""
    agent, scale = run.objective.agent, run.objective.value_scale
    steps, n = rollout.rewards.shape[:2]
    values = torch.zeros(steps, n)
    state = torch.zeros(n, agent.num_states)
    with torch.no_grad():
        for t in range(steps):
            values[t] = scale.from_norm(agent.values_norm(rollout.obs[t], state))[:, 0]
            _, state = agent.act(rollout.obs[t], state)
            state = state * ~rollout.ended[t].unsqueeze(-1)
    return values


@KINDS
@pytest.mark.parametrize("shared", ["true", "false"])
def test_a_rollout_remembers_its_episodes_and_only_those(kind, shared):
    run = learner("CartPole-v1", env__kwargs=CUT, network__memory=kind,
                  network__shared_encoder=shared, ppo__num_steps=40)  # fmt: skip
    torch.nn.init.normal_(run.objective.agent.critic.weight)
    rollout, _ = run.collector(0)
    assert rollout.truncated.any() and rollout.terminated.any()
    torch.testing.assert_close(rollout.values[..., 0], by_hand(run, rollout))
    starts = rollout.context["starts"]
    assert (rollout.context["states"][1:][starts[1:]] == 0).all()
    assert (rollout.context["states"][1:][~starts[1:]] != 0).any(-1).all()


@KINDS
def test_a_time_limit_is_valued_with_the_memory_of_its_own_episode(kind, monkeypatch):
    run = learner("CartPole-v1", env__kwargs=CUT, network__memory=kind, ppo__num_steps=40)
    agent, scale = run.objective.agent, run.objective.value_scale
    torch.nn.init.normal_(agent.critic.weight)
    reached, step = [], run.collector.envs.step
    monkeypatch.setattr(
        run.collector.envs, "step", lambda actions: reached.append(step(actions)) or reached[-1]
    )
    rollout, _ = run.collector(0)
    found = 0
    for t, n in rollout.truncated.nonzero().tolist():
        begin = max([s + 1 for s in range(t) if rollout.ended[s, n]], default=0)
        state = torch.zeros(1, agent.num_states)
        with torch.no_grad():
            for s in range(begin, t + 1):
                _, state = agent.act(rollout.obs[s, n : n + 1], state)
            value = scale.from_norm(agent.values_norm(reached[t].final_obs[n : n + 1], state))
        torch.testing.assert_close(rollout.next_values[t, n], value[0])
        found += 1
    assert found


def test_nothing_is_remembered_beyond_the_row_of_a_next_step_autoreset():
    run = learner("cut_env:Cut-v0", network__memory="gru", env__backend="vector")
    rollout, _ = run.collector(0)
    states, dummy = rollout.context["states"], rollout.dummy[:-1]
    assert dummy.any() and (states[1:][dummy] == 0).all()
    goes_on = rollout.valid[:-1] & ~rollout.ended[:-1]
    assert (states[1:][goes_on] != 0).any(-1).all()
    assert torch.equal(rollout.context["starts"][1:], ~goes_on)


@KINDS
def test_the_update_sees_the_policy_that_acted(kind):
    run = learner("TMaze-v0", network__memory=kind, ppo__num_minibatches=2)
    for _ in range(3):
        assert run.step()["ratio_first"] < 1e-5


def test_a_minibatch_is_whole_environments_in_the_order_of_time():
    run = learner("TMaze-v0", network__memory="gru")
    rollout, _ = run.collector(0)
    batch, _ = run.prepare(rollout)
    assert (batch.length, batch.num_sequences) == (16, 4)
    part = batch.select(torch.tensor([3, 1]))
    assert (part.length, part.num_sequences) == (16, 2)
    assert torch.equal(part.obs.unflatten(0, (16, 2)), rollout.obs[:, [3, 1]])
    assert torch.equal(part.context["states"][:2], rollout.context["states"][0, [3, 1]])
    whole = run.objective.predict(batch).policy.unflatten(0, (16, 4))
    torch.testing.assert_close(
        run.objective.predict(part).policy.unflatten(0, (16, 2)), whole[:, [3, 1]]
    )
    alone = batch.alone(torch.tensor([9, 40]))
    assert alone.length == 1 and isinstance(alone, Batch)


@pytest.mark.parametrize(
    ("env", "more"),
    [
        ("TMaze-v0", {"network__memory": "lstm"}),
        ("CartPole-v1", {"network__memory": "gru", "network__shared_encoder": "false"}),
        ("DoubleIntegrator-v0", {"network__memory": "gru", "env__backend": "torch"}),
    ],
)
def test_a_resumed_run_with_memory_is_the_run_that_was_never_stopped(tmp_path, env, more):
    whole = Trainer(settings(env, **more), tmp_path / "a")
    whole.train()
    Trainer(settings(env, **more), tmp_path / "b").train(batches=3)
    second = Trainer(settings(env, **more), tmp_path / "b", resume="latest")
    second.train()
    assert records(tmp_path / "a" / "run0001") == records(tmp_path / "b" / "run0001")
    for name, tensor in whole.learner.state_dict().items():
        assert torch.equal(tensor, second.learner.state_dict()[name]), name


def test_reward_scale_changes_no_bit_of_a_policy_with_memory():
    runs = [
        learner("TMaze-v0", network__memory="lstm", env__reward_scale=2.0**k) for k in (0, 20, -20)
    ]
    for _ in range(3):
        for run in runs:
            run.step()
        thetas = [run.optimizer.flat.theta for run in runs]
        assert torch.equal(thetas[0], thetas[1]) and torch.equal(thetas[0], thetas[2])


def test_a_loaded_policy_remembers_until_it_is_reset(tmp_path):
    Trainer(settings("TMaze-v0", network__memory="lstm"), tmp_path).train()
    policy = load_policy("latest", tmp_path)
    torch.nn.init.normal_(policy.agent.actor.weight)
    cue, blank = np.array([1, 0, 1, 1], np.float32), np.array([0, 0, 0, 1], np.float32)

    def states(*shown):
        policy.reset()
        for observation in shown:
            policy.predict(observation)
        return policy.states[0]

    assert not torch.equal(states(cue, blank), states(-cue, blank))
    first = states(blank)
    assert torch.equal(first, states(blank)) and not torch.equal(first, states(cue, blank))
    policy.act(torch.zeros(1, 4))
    with pytest.raises(UserError, match=r"reset\(\)"):
        policy.act(torch.zeros(3, 4))
    policy.reset()
    policy.act(torch.ones(3, 4))
    policy.reset(torch.tensor([True, False, True]))
    assert (policy.states[0] == 0).all(-1).tolist() == [True, False, True]


def test_minibatches_that_cut_environments_are_refused():
    with pytest.raises(UserError, match="whole environments.*nearest that fit: 3 and 6"):
        settings("TMaze-v0", network__memory="lstm", env__num_envs=6, ppo__num_minibatches=4)


@pytest.mark.slow
def test_the_t_maze_is_solved_with_memory_and_not_without(tmp_path):
    rates = {}
    for kind in ("none", "lstm", "gru"):
        config = settings(
            "TMaze-v0", network__memory=kind, env__num_envs=16, ppo__num_steps=64,
            ppo__num_minibatches=4, ppo__num_epochs=4, network__memory_size=64,
            ppo__entropy_coefficient=0.01, ppo__learning_rate=1e-3, train__total_timesteps=60_000,
            network__hidden_sizes="[64, 64]", evaluation__interval=0, evaluation__episodes=200,
        )  # fmt: skip
        trainer = Trainer(config, tmp_path)
        trainer.train()
        rates[kind] = trainer.evaluations[-1]["success_rate"]
    assert rates["lstm"] > 0.98 and rates["gru"] > 0.98
    assert rates["none"] < 0.65


@pytest.mark.slow
@pytest.mark.parametrize("env", ["TMaze-v0", "DoubleIntegrator-v0"])
def test_compiled_and_eager_runs_with_memory_agree(env):
    backend = "torch" if env.startswith("Double") else "sync"
    eager, compiled = (
        learner(
            env, network__memory="lstm", env__backend=backend, system__compile=how, ppo__num_steps=6
        )  # fmt: skip
        for how in ("never", "always")
    )
    for _ in range(3):
        compiled.load_state_dict({k: v.clone() for k, v in eager.state_dict().items()})
        one, other = eager.step(), compiled.step()
        assert one["value_loss"] == pytest.approx(other["value_loss"], rel=1e-3)
        theta = [run.optimizer.flat.theta for run in (eager, compiled)]
        torch.testing.assert_close(*theta, rtol=1e-4, atol=5e-6)
        torch.testing.assert_close(
            eager.collector.states[0], compiled.collector.states[0], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("kind", balancers.REGISTRY.names())
def test_every_balancer_learns_from_sequences(kind):
    run = learner("CartPole-v1", network__memory="gru", balancing__kind=kind)
    assert np.isfinite([run.step()["total_loss"] for _ in range(2)]).all()
