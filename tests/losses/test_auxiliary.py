"""Auxiliary targets against a slow loop, what their heads learn, and what a record says of them."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ppo.algorithm.build import build_environments, build_learner
from ppo.config import Config
from ppo.core.data import Rollout
from ppo.losses.auxiliary import TimeToEndLoss, TrajectoryLoss
from ppo.losses.balancers import REGISTRY

TASKS = ["trajectory", "time_to_end", "success"]
SMALL = [
    "env.num_envs=8",
    "ppo.num_steps=30",
    "ppo.num_minibatches=4",
    "ppo.num_epochs=4",
    "env.calibration_steps=8",
    "auxiliary.trajectory_weight=0.3",
    "auxiliary.trajectory_horizon=3",
    "auxiliary.time_to_end_weight=0.2",
    "auxiliary.time_to_end_horizon=15",
    "auxiliary.success_weight=0.1",
    "balancing.delay=0",
    "balancing.ramp=1",
]
FEW = ("ppo.num_epochs=2", "ppo.num_minibatches=2")  # gradient steps, where four show as much


def learner_of(*overrides):
    config = Config().with_overrides([*SMALL, *overrides])
    device = torch.device("cpu")
    learner = build_learner(config, build_environments(config, device), device)
    learner.start()
    return learner


def random_rollout(ended, said, num_obs=5, num_actions=1):
    """A rollout of random numbers whose episodes end where `ended` [T, N] says."""
    shape = ended.shape
    success = torch.where(ended & said, (torch.rand(shape) > 0.5).float(), torch.nan)
    return Rollout(
        obs=torch.randn(*shape, num_obs),
        actions=torch.randn(*shape, num_actions),
        log_probs=torch.zeros(shape),
        values=torch.zeros(*shape, 1),
        next_values=torch.zeros(*shape, 1),
        rewards=torch.zeros(*shape, 1),
        terminated=ended,
        truncated=torch.zeros_like(ended),
        success=success,
        valid=torch.ones_like(ended),
    )


def end_of(ended, t, n):
    """The step at which the episode of step t ends, or None where the rollout stops before."""
    return next((s for s in range(t, ended.shape[0]) if ended[s, n]), None)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 3), st.sampled_from([0.1, 0.5]))
def test_targets_equal_a_slow_loop(seed, num_steps, num_envs, rate):
    torch.manual_seed(seed)
    objective = FIXED.objective
    ended = torch.rand(num_steps, num_envs) < rate
    rollout = random_rollout(ended, torch.rand(num_steps, num_envs) < 0.7)
    found = {
        name: value.unflatten(0, (num_steps, num_envs))
        for name, value in objective.targets(rollout).items()
    }
    obs = objective.agent.normalizer(rollout.obs)
    for t in range(num_steps):
        for n in range(num_envs):
            end = end_of(ended, t, n)
            last = num_steps - 1 if end is None else end
            for h in range(3):
                columns = slice(h * 5, h * 5 + 5)
                mask = found["trajectory_mask"][t, n, columns]
                assert bool(mask.all()) == bool(mask.any()) == (t + h + 1 <= last)
                if mask.all():
                    assert torch.equal(found["trajectory"][t, n, columns], obs[t + h + 1, n])
                    action = found["trajectory_actions"][t, n, h]
                    assert action == rollout.actions[t + h, n, 0]
            assert bool(found["time_to_end_mask"][t, n]) == (end is not None)
            if end is not None:
                assert found["time_to_end"][t, n] == pytest.approx(min(1, (end - t + 1) / 15))
            outcome = float("nan") if end is None else float(rollout.success[end, n])
            assert bool(found["success_mask"][t, n]) == (outcome == outcome)
            if outcome == outcome:
                assert found["success"][t, n] == outcome


@pytest.mark.parametrize(
    ("sizes", "actions", "wanted"),
    [((2, 3), [[1, 2], [0, 0]], [[0, 1, 0, 0, 1], [1, 0, 1, 0, 0]]), ((3,), [[2]], [[0, 0, 1]])],
)
def test_choices_are_shown_to_the_trajectory_one_hot_side_by_side(sizes, actions, wanted):
    distribution = SimpleNamespace(discrete=True, sizes=sizes)
    loss = SimpleNamespace(agent=SimpleNamespace(distribution=distribution))
    assert TrajectoryLoss._encoded(loss, torch.tensor(actions)).tolist() == wanted


def test_the_variance_of_targets_is_that_of_their_columns():
    target, mask = torch.randn(50, 3) + 7, torch.rand(50, 3) < 0.6
    batch = SimpleNamespace(targets={"trajectory": target, "trajectory_mask": mask})
    loss = SimpleNamespace(name="trajectory")
    columns = [target[mask[:, k], k] for k in range(3)]
    squares = sum(float((c - c.mean()).square().sum()) for c in columns)
    found = TrajectoryLoss.column_variance(loss, batch)
    assert float(found) == pytest.approx(squares / int(mask.sum()), rel=1e-4)


FIXED = learner_of()


@pytest.fixture(scope="module")
def trained():
    torch.set_num_threads(1)
    learner = learner_of("auxiliary.time_to_end_weight=1.0", "auxiliary.trajectory_weight=1.0")
    return [learner.step() for _ in range(12)]


@pytest.mark.parametrize("task", ["trajectory", "time_to_end"])
def test_learning_reduces_each_auxiliary_loss(trained, task):
    first, last = (trained[i]["components"][task] for i in (0, -1))
    assert last["loss"] < 0.5 * first["loss"]
    assert last["explained_variance"] > 0.5


def test_predicting_success_falls_below_a_coin(trained):
    assert trained[-1]["components"]["success"]["loss"] < 0.6
    assert trained[-1]["components"]["success"]["explained_variance"] is None


def test_time_to_end_may_have_an_output_for_each_step():
    learner = learner_of("auxiliary.time_to_end_outputs=per_step")
    losses = [learner.step()["components"]["time_to_end"]["loss"] for _ in range(6)]
    assert learner.objective.heads["time_to_end"].out_features == 15
    assert losses[-1] < 0.7 * losses[0]


def of_time_to_end(outputs):
    """The loss with a head that shows its features, of a config with these outputs."""
    loss = TimeToEndLoss.__new__(TimeToEndLoss)
    loss.config = SimpleNamespace(time_to_end_outputs=outputs, time_to_end_horizon=2)
    loss.head = lambda features: features
    return loss


def test_steps_to_come_are_probabilities_and_a_share_is_a_number():
    """Of a probability the variance says nothing that a loss could be compared with."""
    output, target = torch.tensor([[0.3, -2.0], [1.0, 4.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    batch = SimpleNamespace(targets={"time_to_end": target, "time_to_end_mask": target > -1})
    prediction = SimpleNamespace(features=output)
    found = {kind: of_time_to_end(kind) for kind in ("scalar", "per_step")}
    squares, nats = (loss.errors(prediction, batch) for loss in found.values())
    torch.testing.assert_close(squares, (output - target).square())
    chance = torch.where(target > 0, output.sigmoid(), 1 - output.sigmoid())
    torch.testing.assert_close(nats, -chance.log())
    assert found["scalar"].target_variance(batch) == 0.125  # of the columns: 0 and 1/4
    assert found["per_step"].target_variance(batch).isnan()


def test_a_loss_does_not_depend_on_masked_elements_or_on_the_number_of_samples():
    learner = learner_of()
    loss = next(part for part in learner.objective.balanced_losses if part.name == "trajectory")
    torch.manual_seed(0)
    ended = torch.rand(12, 2) < 0.2
    rollout = random_rollout(ended, ended)
    target = loss.targets(rollout)
    from ppo.algorithm.targets import make_batch

    batch = make_batch(
        rollout._replace(rewards=torch.zeros(12, 2, 4), values=torch.zeros(12, 2, 4),
                         next_values=torch.zeros(12, 2, 4)),
        learner.prepare.settings,
    )  # fmt: skip
    prediction = learner.objective.agent(batch.obs)
    plain = loss(prediction, batch._replace(targets=target), None).loss
    masked = target["trajectory_mask"]
    spoiled = {**target, "trajectory": torch.where(masked, target["trajectory"], 1e6)}
    assert torch.equal(plain, loss(prediction, batch._replace(targets=spoiled), None).loss)
    twice = batch._replace(targets=target).select(torch.arange(24).repeat(2))
    doubled = loss(learner.objective.agent(twice.obs), twice, None).loss
    torch.testing.assert_close(plain, doubled)


@pytest.mark.parametrize("kind", REGISTRY.names())
def test_each_balancer_trains_and_its_total_is_the_sum_of_its_terms(kind):
    # The mean of logarithms is none of the mean: learned weights are read in a single step.
    steps = ("ppo.num_epochs=1", "ppo.num_minibatches=1") if kind == "uncertainty" else FEW
    learner = learner_of(f"balancing.kind={kind}", "ppo.entropy_coefficient=0.01", *steps)
    before = {name: head.weight.clone() for name, head in learner.objective.heads.items()}
    record = [learner.step() for _ in range(3)][-1]
    for name, head in learner.objective.heads.items():
        assert (head.weight != before[name]).any() and torch.isfinite(head.weight).all()
    rest = sum(
        record["components"][task]["weight"] * record["components"][task]["loss"] for task in TASKS
    )
    total = (
        record["policy_loss"]
        + record["value_loss_weight"] * record["value_loss"]
        - record["entropy_coefficient"] * record["entropy"]
        + rest
    )
    if kind != "uncertainty":
        assert record["total_loss"] == pytest.approx(total, rel=1e-4, abs=1e-5)
        return
    # Its logarithms are a term of their own: log sigma of weight / (2 sigma^2).
    bases = learner.objective.balancer.base.tolist()
    weights = [record["value_loss_weight"], *(record["components"][t]["weight"] for t in TASKS)]
    logs = sum(b * -0.5 * math.log(2 * w / b) for b, w in zip(bases, weights, strict=True))
    assert record["total_loss"] == pytest.approx(total + logs, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", REGISTRY.names())
def test_a_balancer_goes_on_from_its_saved_state(kind):
    first = learner_of(f"balancing.kind={kind}", *FEW)
    for _ in range(2):
        first.step()
    state = {name: value.clone() for name, value in first.state_dict().items()}
    counters = dict(first.counters)
    second = learner_of(f"balancing.kind={kind}", *FEW)
    second.load_state_dict(state)
    second.counters.update(counters)
    for _ in range(2):  # what the first learns is seen in the second
        one, two = first.step(), second.step()
        assert one["total_loss"] == two["total_loss"] and one["components"] == two["components"]


def test_the_policy_loss_is_never_weighed():
    for kind in REGISTRY.names():
        objective = learner_of(f"balancing.kind={kind}").objective
        assert {"policy", "entropy"}.isdisjoint(objective.balancer.names)


def test_learned_weights_move_ten_times_as_fast_and_are_clipped_on_their_own():
    optimizer = learner_of("balancing.kind=uncertainty").optimizer
    learned = optimizer.flat.mask(lambda name: name.startswith("balancer."))
    assert learned.sum() == 4
    assert (optimizer.rates[learned > 0] == 10.0).all()
    assert (optimizer.rates[learned == 0] == 1.0).all()
    assert torch.equal(optimizer.groups[-1], learned)


def test_gradient_norms_become_equal_on_the_shared_encoder():
    learner = learner_of(
        "balancing.kind=gradient_norm",
        "auxiliary.trajectory_weight=1",
        "auxiliary.time_to_end_weight=1",
        "auxiliary.success_weight=1",
        "ppo.value_loss_weight=1",
    )
    learner.step()
    balancer = learner.objective.balancer
    norms = torch.tensor([3.0, 0.2, 7.0, 1.0])
    for _ in range(300):
        balancer.observe_gradients(norms)
    weighted = balancer.weights(torch.ones(4)) * norms
    torch.testing.assert_close(weighted, torch.full((4,), 7.0), rtol=1e-3, atol=0)


def test_a_seed_fixes_how_the_heads_start():
    weights = []
    for before in (1, 2):
        torch.manual_seed(before)  # nothing may depend on what the process did before
        weights.append(learner_of().objective.heads["trajectory"].weight)
    assert torch.equal(*weights)
