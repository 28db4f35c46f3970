"""Recorded operations made fewer: which ones go, and what must stay."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ppo.core.operations import operations
from ppo.core.simplify import simplify

aten = torch.ops.aten
WEIGHT = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]])


def remaining(function: Callable[..., list[Tensor]], *args: Tensor) -> list[str]:
    """Operations that are left of a call, after it was seen that they compute what it does."""
    graph = operations(function, args)
    reads = simplify(graph)
    again = [arg.clone() for arg in args]
    for one, other in zip(graph(*again, *reads), function(*args), strict=True):
        assert torch.equal(one, other) and one.dtype == other.dtype
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def test_a_view_of_what_is_read_is_made_once() -> None:
    left = remaining(lambda x: [x * WEIGHT.t()[0, 0], x + WEIGHT.view(-1)[:3]], torch.ones(3))
    assert left == ["aten.mul.Tensor", "aten.add.Tensor"]


def test_a_view_shows_what_is_read_as_it_is_now() -> None:
    state = torch.zeros(2, 3)
    graph = operations(lambda x: [x + state.t()[1]], [torch.ones(2)])
    reads = simplify(graph)
    state[:, 1] = torch.tensor([5.0, 7.0])
    assert graph(torch.ones(2), *reads)[0].tolist() == [6.0, 8.0]


def test_numbers_are_converted_once() -> None:
    left = remaining(lambda x: [x * 0.1 + 0.1, (x / 0.1) > 0.1, x.double() - 0.1], torch.ones(3))
    names = ["mul.Tensor", "add.Tensor", "div.Tensor", "gt.Tensor", "_to_copy.default"]
    assert left == [f"aten.{name}" for name in [*names, "sub.Tensor"]]


def test_a_number_is_not_made_whole() -> None:
    assert len(remaining(lambda x: [x * 3, x * 0.5, x / 2], torch.tensor([1, 2, 3]))) == 3


def test_a_first_power_and_a_double_transpose_go() -> None:
    def function(x: Tensor) -> list[Tensor]:
        y = x.exp()
        return [y.pow(1.0) * 2.0, y.t().t().neg()]

    left = remaining(function, torch.rand(2, 3))
    assert left == ["aten.exp.default", "aten.mul.Tensor", "aten.neg.default"]


def test_a_first_power_that_makes_floats_of_whole_numbers_stays() -> None:
    def function(x: Tensor) -> list[Tensor]:
        y = x.abs()
        return [y.pow(1.0), y.pow(1).neg()]

    left = remaining(function, torch.tensor([1, -2]))
    assert left == ["aten.abs.default", "aten.pow.Tensor_Scalar", "aten.neg.default"]


def test_zero_and_minus_zero_are_two_numbers() -> None:
    graph = operations(lambda x: [x * 0.0, x * -0.0], [torch.ones(1)])
    zeros = graph(torch.ones(1), *simplify(graph))
    assert [torch.signbit(zero).item() for zero in zeros] == [False, True]


def test_a_first_power_of_what_is_changed_stays_a_copy() -> None:
    def function(x: Tensor) -> list[Tensor]:
        y = x.exp()
        before = y.pow(1.0)
        y.mul_(2.0)
        return [before, y]

    assert "aten.pow.Tensor_Scalar" in remaining(function, torch.rand(3))
    state = torch.tensor([1.0, 2.0])
    same = state.view(2)  # the same memory by another way
    graph = operations(lambda x: [state.pow(1.0), same.add_(x)], [torch.ones(2)])
    reads = simplify(graph)
    assert graph(torch.ones(2), *reads)[0].tolist() == [2.0, 3.0]


def test_equal_operations_are_one_though_something_else_is_changed_between() -> None:
    def function(x: Tensor, y: Tensor) -> list[Tensor]:
        one, other = x.exp(), x.exp() + 1.0
        equal = one == y
        other.masked_fill_(equal, 0.0)
        return [other, torch.where(one == y, 1.0, x)]

    left = remaining(function, torch.rand(3), torch.rand(3))
    assert left.count("aten.eq.Tensor") == 1 and left.count("aten.exp.default") == 1


@pytest.mark.parametrize("part", [lambda y: y, lambda y: y[:2], lambda y: y.unbind()[1]])
def test_equal_operations_on_what_is_changed_between_are_two(part: Any) -> None:
    def function(x: Tensor) -> list[Tensor]:
        y = x.exp()
        before = y.neg()
        part(y).mul_(2.0)
        return [before, y.neg()]

    assert remaining(function, torch.rand(3)).count("aten.neg.default") == 2


def test_what_an_operation_changes_beside_its_first_argument_is_changed() -> None:
    """Batch normalization changes its running mean, the fourth argument."""

    def function(x: Tensor) -> list[Tensor]:
        mean, variance = x.mean(0), x.var(0)
        before = mean.neg()
        normalize = aten._native_batch_norm_legit.default
        normal = normalize(x, None, None, mean, variance, True, 0.1, 1e-5)[0]
        return [before, normal, mean.neg(), mean]

    assert remaining(function, torch.rand(5, 3)).count("aten.neg.default") == 2


def test_what_is_changed_in_a_view_is_not_taken_for_its_like() -> None:
    def function(x: Tensor) -> list[Tensor]:
        one, other = x.exp(), x.exp()
        one[:1].zero_()
        return [one, other]

    assert remaining(function, torch.rand(3)).count("aten.exp.default") == 2


def test_what_python_makes_is_made_anew_in_each_call() -> None:
    def function(x: Tensor) -> list[Tensor]:
        total = torch.tensor(1.0)
        return [total.add_(x.sum())]

    graph = operations(function, [torch.ones(3)])
    reads = simplify(graph)
    assert [graph(torch.ones(3), *reads)[0].item() for _ in range(3)] == [4.0] * 3


def test_a_value_for_the_host_is_refused() -> None:
    with pytest.raises(TypeError, match="gives the host a value"):
        operations(lambda x: [x * x.sum().item()], [torch.ones(3)])


def test_training_and_recording_do_not_import_the_compiler(tmp_path: Path) -> None:
    script = """
import sys
from ppo import Config, Trainer
from ppo.core import recording
recording.CALLS = 2
sets = ["env.num_envs=4", "ppo.num_steps=8", "train.total_timesteps=200", "system.compile=never"]
sets += ["system.device=cpu", "logging.tensorboard=false", "evaluation.interval=0"]
with Trainer(Config.load(None, sets), sys.argv[1]) as trainer:
    trainer.train()
    records = trainer.learner.update._step._graphs.values()
    assert all(isinstance(record._run, recording._Replay) for record in records)
print(sorted({"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
