"""Recorded functions: the function's own bits, in every call, and eager where that cannot be."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from ppo.algorithm import build
from ppo.algorithm.laws.whole_runs import digest
from ppo.config import Config
from ppo.core import recording, torch_internals
from ppo.core.arguments import look
from ppo.core.recording import Recorded, recorded

CPU = torch.device("cpu")
SMALL = [
    "env.num_envs=4",
    "ppo.num_steps=4",
    "ppo.num_epochs=2",
    "ppo.num_minibatches=2",
    "env.calibration_steps=0",
    "train.total_timesteps=1000",
    "system.device=cpu",
    "system.compile=never",
    "network.hidden_sizes=[8]",
]
KINDS = [
    ["ppo.value_loss=hl_gauss", "auxiliary.trajectory_weight=1.0"],
    ["ppo.learning_rate_schedule=linear", "ppo.target_kl=0.0001"],
    ["network.memory=gru", "network.shared_encoder=false", "network.layer_norm=true"],
    ["env.id=CartPole-v1", "env.backend=sync", "ppo.value_clip_epsilon=0.3"],
    ["env.id=ThreeScales-v0", "balancing.kind=uncertainty", "ppo.reward_outlier=clip"],
]


class Pair(NamedTuple):
    a: Tensor
    b: dict[str, Any]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "CALLS", 2)


def is_replayed(function: Any) -> bool:
    """Whether every look of its arguments has a replay that stands."""
    records = function._graphs.values()
    return bool(records) and all(isinstance(r._run, recording._Replay) for r in records)


def train(more: list[str], batches: int) -> tuple[Any, dict[str, Tensor]]:
    config = Config.from_dict({}, [*SMALL, *more])
    device = build.prepare_torch(config)
    learner = build.build_learner(config, build.build_environments(config, device), device)
    learner.start()
    for _ in range(batches):
        learner.step()
    return learner, {name: value.clone() for name, value in learner.state_dict().items()}


@pytest.mark.parametrize("more", KINDS, ids=lambda more: " ".join(more))
def test_training_is_the_same_to_the_bit(more: list[str], monkeypatch) -> None:
    batches = 2 + recording.CHECKS + 2  # of which two replay what is called once a batch
    learner, replayed = train(more, batches)
    assert is_replayed(learner.update._step) and is_replayed(learner.collector.player.act)
    assert is_replayed(learner.collector._finish) and is_replayed(learner.prepare._prepare)
    assert is_replayed(learner.examine._examine)
    assert is_replayed(learner.examine._measure) == learner.examine.shared.applies
    monkeypatch.setattr(recording, "CALLS", 10**9)
    _, eager = train(more, batches)
    assert replayed.keys() == eager.keys()
    different = [name for name in eager if not recording._same_bits(eager[name], replayed[name])]
    assert not different


LAWS = [
    pytest.param(more, id=" ".join(more), marks=() if more is KINDS[3] else pytest.mark.slow)
    for more in KINDS
]


@pytest.mark.parametrize("more", LAWS)
def test_a_replay_sees_no_reward_scale(more: list[str]) -> None:
    plain, _ = train(more, 4)
    scaled, _ = train([*more, f"env.reward_scale={2.0**20!r}"], 4)
    assert is_replayed(plain.update._step) and is_replayed(scaled.update._step)
    assert digest(plain) == digest(scaled)


@pytest.mark.parametrize("more", LAWS)
def test_a_resumed_run_that_records_later_is_the_same_to_the_bit(more: list[str]) -> None:
    whole, state = train(more, 3)
    counters = dict(whole.counters)
    resumed, _ = train(more, 0)
    resumed.load_state_dict(state)
    resumed.counters.update(counters)
    for learner in (whole, resumed, whole, resumed):
        learner.step()
    assert is_replayed(whole.update._step) and is_replayed(resumed.update._step)
    assert digest(whole) == digest(resumed)


def test_it_computes_what_the_function_does_and_changes_what_it_changes() -> None:
    weight = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
    seen = torch.zeros(2)
    calls = []

    def function(pair: Pair, twice: bool) -> Pair:
        calls.append(1)
        total = (weight * pair.a * pair.b["c"]).square().sum()
        (grad,) = torch.autograd.grad(total, weight)
        weight.data.sub_(0.125 * grad)
        seen.add_(grad).clamp_(max=50.0)
        return Pair(total.detach() * (2 if twice else 1), {"grad": grad, "name": "x"})

    fast: Any = recorded(function, CPU)
    expected_weight, expected_seen = weight.detach().clone(), seen.clone()
    for i in range(9):
        a, c = torch.tensor([1.0, -0.5]) * (i + 1) / 8, torch.tensor(0.5)
        found = fast(Pair(a, {"c": c}), True)
        grad = 2.0 * expected_weight * (a * c).square()
        total = (expected_weight * a * c).square().sum()
        assert torch.allclose(found.a, 2 * total) and torch.allclose(found.b["grad"], grad)
        assert found.b["name"] == "x" and not found.a.requires_grad
        expected_weight = expected_weight - 0.125 * grad
        expected_seen = (expected_seen + grad).clamp(max=50.0)
        assert torch.allclose(weight, expected_weight) and torch.allclose(seen, expected_seen)
    assert is_replayed(fast) and len(calls) == 2 + recording.CHECKS  # then Python is not run


def test_arguments_of_another_look_have_a_record_of_their_own() -> None:
    fast: Any = Recorded(lambda x, n: x.sum(0) * n)
    for _ in range(7):
        for x in (torch.ones(2, 3), torch.ones(3, 3), torch.ones(2, 3).double()):
            for n in (2, 3):
                assert torch.equal(fast(x, n), x.sum(0) * n)
    assert len(fast._graphs) == 6 and is_replayed(fast)


def test_calls_with_gradients_have_a_record_of_their_own() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    fast: Any = Recorded(lambda x: x * weight)
    with torch.no_grad():
        for _ in range(7):
            fast(torch.ones(2))
    assert is_replayed(fast) and fast(torch.ones(2)).requires_grad


def test_what_was_computed_before_a_change_is_not_taken_for_what_is_computed_after() -> None:
    state = torch.tensor([1.0, 2.0])
    rows = state.view(2, 1)

    def function(x: Tensor) -> Tensor:
        first = x + state
        half, other = x / 2, x / 2
        half.mul_(3)
        state.add_(1)
        second = x + state
        rows[0] += 1  # the same memory by another way
        return torch.stack([first, second, x + state, half, other])

    fast, steps = Recorded(function), []
    for _ in range(8):
        before = state.clone()
        steps.append((before, fast(torch.ones(2))))
    assert is_replayed(fast)
    for before, found in steps:
        ones, one = torch.ones(2), torch.tensor([1.0, 0.0])
        expected = [1 + before, 2 + before, 2 + before + one, 1.5 * ones, 0.5 * ones]
        assert torch.equal(found, torch.stack(expected))


def eager_ones() -> dict[str, Any]:
    turn = [0]

    def counts(x: Tensor) -> Tensor:
        turn[0] += 1
        return x * turn[0]

    return {
        "looks at a value": lambda x: x if x.sum().item() > 0 else -x,
        "draws random numbers": lambda x: x + torch.rand(3),
        "has a state in Python": counts,
    }


@pytest.mark.parametrize("kind", eager_ones())
def test_what_cannot_be_replayed_stays_as_it_is(kind: str) -> None:
    plain, fast = eager_ones()[kind], Recorded(eager_ones()[kind])
    for i in range(8):
        x = torch.full((3,), float(i - 4))
        torch.manual_seed(i)
        expected = plain(x)
        torch.manual_seed(i)
        assert torch.equal(fast(x), expected)
    assert not is_replayed(fast)


def test_a_call_that_cannot_be_recorded_is_made_once() -> None:
    total, rows = torch.zeros(2), torch.nn.Parameter(torch.zeros(2, 2))

    def function(x: Tensor) -> Tensor:
        total.add_(x)
        with torch.no_grad():
            rows[0] += total
            rows.mul_(2.0)
        return x if total.sum().item() > 0 else -x

    fast: Any = Recorded(function)
    for call in range(1, 6):
        fast(torch.ones(2))
        assert total.tolist() == [call, call]
    assert rows.tolist() == [[2 * (1 * 16 + 2 * 8 + 3 * 4 + 4 * 2 + 5)] * 2, [0.0, 0.0]]
    assert not is_replayed(fast)


def test_large_arguments_are_not_copied_for_a_record(monkeypatch) -> None:
    monkeypatch.setattr(recording, "LARGE", 8)
    fast: Any = Recorded(lambda x: x + 1.0)
    for _ in range(6):
        assert fast(torch.zeros(3)).tolist() == [1.0] * 3 and fast(torch.zeros(2)).sum() == 2.0
    few, many = sorted(fast._graphs.values(), key=lambda record: record._replay is None)
    assert isinstance(few._run, recording._Replay) and many._replay is None


def test_a_replay_that_differs_is_given_up(monkeypatch) -> None:
    monkeypatch.setattr(torch_internals, "without_python", lambda *_: lambda x, *_: (x + 2.0,))
    fast = Recorded(lambda x: x + 1.0)
    assert [fast(torch.zeros(1)).item() for _ in range(6)] == [1.0] * 6
    assert not is_replayed(fast)


def test_a_torch_that_cannot_record_runs_eagerly(monkeypatch) -> None:
    def gone(*_: Any) -> Any:
        raise ImportError("moved elsewhere")

    monkeypatch.setattr(torch_internals, "_import", gone)
    fast = Recorded(lambda x: x + 1.0)
    assert [fast(torch.zeros(1)).item() for _ in range(4)] == [1.0] * 4


def test_a_call_that_was_recorded_is_not_made_again(monkeypatch) -> None:
    def gone(*_: Any) -> Any:
        raise RuntimeError("no interpreter")

    monkeypatch.setattr(torch_internals, "without_python", gone)
    total, calls = torch.zeros(1), 7
    fast = Recorded(lambda x: total.add_(x).clone())
    found = [fast(torch.ones(1)).item() for _ in range(calls)]
    assert found == [float(i + 1) for i in range(calls)] and not is_replayed(fast)


def test_errors_of_the_function_are_its_own() -> None:
    def function(x: Tensor) -> Tensor:
        if x.shape[0] == 3:
            raise ValueError("no three")
        return x

    fast = Recorded(function)
    for _ in range(4):
        with pytest.raises(ValueError, match="no three"):
            fast(torch.zeros(3))


def test_zeros_of_two_signs_and_nan_are_told_apart() -> None:
    same = recording._same_bits
    assert same(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    assert not same(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same(torch.tensor([0.0]), torch.tensor([0.0], dtype=torch.float64))
    assert not same(torch.zeros(2), torch.zeros(1, 2))


@pytest.mark.parametrize(("expected", "calls"), [(15, 4), (14, 10)])
def test_a_function_with_many_calls_to_come_is_recorded_early(expected, calls, monkeypatch) -> None:
    monkeypatch.setattr(recording, "CALLS", 10)
    monkeypatch.setattr(recording, "FEW", 4)
    fast: Any = recorded(lambda x: x + 1.0, CPU, expected)
    for call in range(calls + recording.CHECKS):
        assert not is_replayed(fast), call
        fast(torch.ones(2))
    assert is_replayed(fast)


def test_a_long_run_is_recorded_from_its_first_batches(monkeypatch) -> None:
    monkeypatch.setattr(recording, "CALLS", 10**3)
    learner, _ = train([*KINDS[3], "train.total_timesteps=100000"], 6)
    assert is_replayed(learner.update._step) and is_replayed(learner.collector.player.act)


def test_tensors_may_stand_in_lists():
    one, other = torch.zeros(2), torch.zeros(3)
    assert hash(look([one, (other, 1)])) == hash(look([one + 1, (other + 1, 1)]))
    assert len({look([one, one]), look([one, other]), look((one, one)), look([one])}) == 4
