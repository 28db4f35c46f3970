"""A captured function is the function: for every sequence of calls, and in whole learners."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ppo.algorithm import build, examine, targets, update
from ppo.algorithm.rollout import collect, players
from ppo.config import Config
from ppo.core import recording, torch_internals
from ppo.core.arguments import leaves, refill
from ppo.core.capturing import Captured, fix_address, on_a_gpu
from ppo.core.compiling import compiled
from ppo.core.errors import Dropped
from ppo.core.operations import operations

Outputs = list[Tensor]


def in_place_of_a_gpu(run: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
    """Like a CUDA graph: every tensor that was read is read again where it was, by its identity,
    and nothing of Python. Recording has the effect that the first replay is to have."""
    found: Outputs = []

    def once() -> Outputs:
        found.extend(run())
        return found

    graph = operations(once, [])
    outputs = [tensor.detach().clone() for tensor in found]
    recorded = True

    def replay() -> None:
        nonlocal recorded
        if not recorded:
            with torch.no_grad():  # the backward pass is among the operations
                for place, tensor in zip(outputs, graph(), strict=True):
                    place.copy_(tensor)
        recorded = False

    return replay, outputs


class Adds:
    """A function that reads and changes a tensor of its own."""

    def __init__(self) -> None:
        self.total = torch.zeros(3)

    def __call__(self, x: Tensor, pair: tuple[Tensor, Tensor], sign: float, kept: Tensor) -> Any:
        self.total.add_(sign * x + pair[0] * pair[1].sum())
        kept.mul_(0.5)
        both = x + pair[1], pair[0] is pair[1]
        return {"total": self.total.clone(), "both": both}, x[1:] * 1.0


def both(calls: Any) -> tuple[Adds, Adds]:
    """Every call by the function and captured; what a call returns is the same."""
    plain, inner = Adds(), Adds()
    fast = Captured(inner, in_place_of_a_gpu)
    kept, also_kept = torch.ones(2), torch.ones(2)
    fix_address(also_kept)
    for number, (x, pair, sign) in enumerate(calls):
        right, found = plain(x, pair, sign, kept), fast(x, pair, sign, also_kept)
        assert str(found) == str(right), number
        assert torch.equal(also_kept, kept) and torch.equal(inner.total, plain.total), number
    return plain, inner


@pytest.mark.parametrize("counted", ["_version", "a name that torch has no more"])
def test_new_tensors_and_tensors_changed_in_place_are_seen(counted: str, monkeypatch) -> None:
    monkeypatch.setattr(torch_internals, "COUNTED", counted)

    def calls() -> Any:
        x, y = torch.arange(3.0), torch.ones(3)
        rows = torch.arange(12.0).reshape(4, 3)
        for number in range(4):
            yield x, (y, y), 1.0  # one tensor given twice
            yield x, (y, rows[number]), 1.0
            x += 1.0
            yield x, (y, rows[number]), 1.0
            x[1:].mul_(2.0)  # through a view
            yield x, (y, rows[number]), -1.0  # another constant
            y = y + 1.0
            yield rows[:, 1][1:], (y, x), 1.0  # with gaps
            yield torch.tensor(float(number)).expand(3), (x, y), 1.0
            del y
            y = torch.full((3,), float(number))  # where another one may have been
            yield x.double(), (y, x.clone()), 1.0

    both(calls())


def test_the_same_tensors_are_copied_once(monkeypatch) -> None:
    copies: list[Tensor] = []
    copy = Tensor.copy_

    def counted(self: Tensor, other: Tensor, **how: Any) -> Tensor:
        copies.append(other)
        return copy(self, other, **how)

    fast = Captured(lambda x, y: x + y, lambda run: (lambda: None, run()))
    batch = torch.zeros(3)
    monkeypatch.setattr(Tensor, "copy_", counted)
    for number in range(5):
        fast(batch, torch.full((3,), float(number)))
    assert len(copies) == 1 + 4


def test_a_fixed_tensor_elsewhere_has_a_graph_of_its_own() -> None:
    first, second = torch.zeros(2), torch.ones(2)
    for tensor in (first, second):
        fix_address(tensor)
    fast = Captured(lambda x: (x.add_(1.0), x * 2.0)[1], in_place_of_a_gpu)
    for _ in range(3):
        fast(first)
        fast(second)
    assert first.tolist() == [3.0, 3.0] and second.tolist() == [4.0, 4.0]


KINDS = [
    [],
    ["env.id=CartPole-v1", "env.backend=torch", "system.precision=bfloat16"],
    *(
        pytest.param(more, marks=pytest.mark.slow)
        for more in (
            ["network.memory=gru", "env.observation_scale=tails"],
            ["ppo.value_loss=hl_gauss"],
            ["ppo.learning_rate_schedule=kl", "ppo.target_kl=0.001", "ppo.clip_schedule=linear"],
            ["ppo.normalize_advantages=batch", "ppo.component_mixing=sum"],
            ["auxiliary.trajectory_weight=1.0"],
            ["ppo.return_normalizer=symlog", "ppo.value_clip=none"],
            ["balancing.kind=gradient_norm", "auxiliary.success_weight=1"],
            ["env.id=CartPole-v1", "env.backend=sync"],
        )
    ),
]


def both_ways(
    compiles: str, more: list[str], history: Callable[[Any], list[Any]], monkeypatch
) -> None:
    """`history` of a learner and of one of captured functions, which must be equal."""
    monkeypatch.setattr(torch_internals, "scan", lambda: None)  # step by step, as on a GPU
    names = {"compiled"} if compiles == "always" else {"compiled", "captured", "recorded"}

    def copies(tensors: Any) -> Any:
        return refill(tensors, iter([tensor.clone() for tensor in leaves(tensors)]))

    made: list[Captured] = []

    def capture(function: Any, *_: Any, **__: Any) -> Any:
        made.append(Captured(function, in_place_of_a_gpu))
        return made[-1]

    def records(faster: Any) -> list[dict[str, Any]]:
        for module in (collect, examine, players, recording, targets, update):
            for name in (names | {"keep"}) & vars(module).keys():
                monkeypatch.setattr(module, name, copies if name == "keep" else faster)
        config = Config.from_dict({}, [*SMALL, f"system.compile={compiles}", *more])
        device = build.prepare_torch(config)
        run = build.build_learner(config, build.build_environments(config, device), device)
        run.start()
        return history(run)

    plain = records(lambda function, *_, **__: function)
    fast = records(capture)
    assert len(made) >= 5 and all(
        graph._run == graph._again for one in made for graph in one._graphs.values()
    )
    for one, other in zip(plain, fast, strict=True):
        differ = [name for name in one if repr(one[name]) != repr(other[name])]
        assert set(differ) <= TIMES, differ


@pytest.mark.parametrize("compiles", ["always", "never"])
@pytest.mark.parametrize("more", KINDS, ids=lambda more: " ".join(more) or "shipped")
def test_a_learner_of_captured_functions_is_the_same_to_the_bit(
    more: list[str], compiles: str, monkeypatch
) -> None:
    """What these functions read is changed where it is, and what they return is copied in time."""
    both_ways(compiles, more, lambda run: [run.step() for _ in range(5)], monkeypatch)


@pytest.mark.parametrize("compiles", ["never", pytest.param("always", marks=pytest.mark.slow)])
def test_what_happens_between_batches_is_seen_by_captured_functions(
    compiles: str, monkeypatch
) -> None:
    """Settings that move, a rollback, a dropped batch, a state that is loaded, and compiling."""

    def history(run: Any) -> list[Any]:
        records = [run.step() for _ in range(3)]
        state = {name: tensor.clone() for name, tensor in run.state_dict().items()}
        counters = dict(run.counters)
        moved = ["ppo.learning_rate=1e-4", "ppo.component_weights={progress: 2.0}"]
        run.take_over(run.config.with_overrides(moved))
        records += [run.step()]
        whole = run.update

        def spoils(*args: Any) -> Any:
            run.update = whole
            table = whole(*args)
            run.optimizer.flat.theta.fill_(torch.nan)
            return table

        run.update = spoils
        records += [run.step()]
        assert "rolled back" in str(records[-1]["events"])

        def drops(*args: Any) -> Any:
            run.update = whole
            whole(*args)
            raise Dropped("now")

        run.update = drops
        with pytest.raises(Dropped):
            run.step()
        for values in (run.state_dict(), state):  # as a resume does it
            run.load_state_dict({name: tensor.clone() for name, tensor in values.items()})
            records += [run.step()]
            run.counters.update(counters)
        run.switch = run.switch._replace(batch=0)  # from eager functions to compiled ones
        return records + [run.step() for _ in range(3)]

    both_ways(compiles, [], history, monkeypatch)


def test_only_cuda_has_graphs() -> None:
    for kind in ("mps", "xpu"):
        assert not isinstance(compiled(torch.relu, torch.device(kind)), Captured)
    assert isinstance(compiled(torch.relu, torch.device("cuda")), Captured)


class OneGenerator:
    """torch's capture and its generator, which takes a failed capture for one that goes on."""

    def __init__(self, graph: Any, **_: Any) -> None:
        self.graph = graph

    def __enter__(self) -> None:
        OneGenerator.captures = True

    def __exit__(self, error: Any, *_: Any) -> None:
        if error is not None:
            raise RuntimeError("operation failed due to a previous error during capture")
        OneGenerator.captures = False

    captures = False


def test_torch_draws_random_numbers_after_a_capture_that_failed(monkeypatch) -> None:
    zeros, devices = torch.zeros, []
    for name, there in {
        "CUDAGraph": lambda: SimpleNamespace(replay=None),
        "current_stream": lambda: None,
        "stream": lambda _: contextlib.nullcontext(),
        "graph": OneGenerator,
    }.items():
        monkeypatch.setattr(torch.cuda, name, there)
    monkeypatch.setattr(torch, "zeros", lambda n, device: devices.append(device) or zeros(n))
    with pytest.raises(RuntimeError, match="previous error"):
        on_a_gpu(lambda: [1 / 0])
    assert not OneGenerator.captures and devices == ["cuda"]


def test_a_function_that_cannot_be_captured_goes_on_as_it_is() -> None:
    def fails(run: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    notes = list(torch_internals.NOTES)
    total = torch.zeros(())

    def sum_of(x: Tensor) -> float:
        return total.add_(x).item()

    fast = Captured(sum_of, fails)
    assert [fast(torch.ones(())) for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]
    (line,) = torch_internals.NOTES[len(notes) :]
    assert "sum_of runs on the GPU without a CUDA graph" in line and "not permitted" in line
    torch_internals.NOTES[:] = notes


TIMES = {"wall_time_s", "steps_per_second"}
SMALL = [
    "env.num_envs=4",
    "ppo.num_steps=30",
    "ppo.num_epochs=2",
    "ppo.num_minibatches=2",
    "env.calibration_steps=25",
    "train.total_timesteps=1000",
    "system.device=cpu",
]
