"""What is private in torch stands in one module, and a run does without it where it is gone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import ppo
from ppo.algorithm import build
from ppo.config import Config
from ppo.core import torch_internals

PRIVATE = re.compile(r"torch\.(?:\w+\.)*_[a-z]")
SMALL = [
    "env.id=CartPole-v1",
    "env.backend=torch",
    "env.num_envs=8",
    "env.kwargs={max_episode_steps: 20}",
    "network.hidden_sizes=[8]",
    "ppo.num_steps=4",
    "ppo.num_epochs=1",
    "ppo.num_minibatches=2",
    "system.device=cpu",
    "system.compile=always",
]


def gone(*_: Any) -> Any:
    raise ImportError("moved elsewhere")


@pytest.fixture
def without_private_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch as it would be if all of them had moved."""
    monkeypatch.setattr(torch_internals, "NOTES", [])
    monkeypatch.setattr(torch_internals, "_import", gone)
    # The operation cannot be registered twice in a process, so it is not forgotten but refused.
    monkeypatch.setattr(torch_internals, "onednn_linear", gone)
    cached = (torch_internals.onednn_works, torch_internals.graph_pass)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def test_no_other_module_names_what_is_private() -> None:
    root = Path(ppo.__file__).parent
    found = {
        f"{path.relative_to(root)}: {line.strip()}"
        for path in root.rglob("*.py")
        for line in path.read_text().splitlines()
        if path.name != "torch_internals.py" and PRIVATE.search(line)
    }
    assert not found


def test_what_is_gone_is_noted_once_and_is_no_error(without_private_names) -> None:
    for _ in range(2):
        assert torch_internals.scan() is None
        assert not torch_internals.onednn_works()
        assert torch_internals.graph_pass(print, "file") is None
        torch_internals.load_compiler()
        torch_internals.allow_graphs(8)
        assert torch_internals.has_cpp_compiler() in (True, False)
        assert torch_internals.has_triton() in (True, False)
    notes = torch_internals.NOTES
    assert len(notes) == len(set(notes)) >= 6
    assert all(torch.__version__ in line and "moved elsewhere" in line for line in notes)


def test_a_compiler_that_starts_is_found_without_loading_torchs_own(monkeypatch, tmp_path) -> None:
    program = tmp_path / "compiler"
    program.write_text("#!/bin/sh\nexit $STATUS\n")
    program.chmod(0o755)
    asked: list[str] = []
    monkeypatch.setattr(torch_internals, "private", lambda *names: asked.append(names[1]))
    monkeypatch.setattr(torch_internals.shutil, "which", lambda name: None)
    monkeypatch.setenv("CXX", str(program))
    monkeypatch.setenv("STATUS", "0")
    assert torch_internals.has_cpp_compiler() and not asked
    monkeypatch.setenv("STATUS", "1")
    assert not torch_internals.has_cpp_compiler() and "get_cpp_compiler" in asked
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    assert not torch_internals.has_cpp_compiler()


def learner() -> Any:
    config = Config.from_dict({}, SMALL)
    device = build.prepare_torch(config)
    made = build.build_learner(config, build.build_environments(config, device), device)
    made.start()
    return made


def events(run: Any, batches: int) -> list[str]:
    return [event for _ in range(batches) for event in run.step()["events"]]


@pytest.mark.slow
def test_a_compiled_run_goes_on_without_private_names_and_reports_it_once(
    without_private_names, monkeypatch
) -> None:
    def no_guards(*_: Any) -> None:
        torch_internals.note("all is looked at", AttributeError("gone"))

    monkeypatch.setattr(torch_internals, "without_guards", no_guards)
    run = learner()
    assert not run.collector.player.loops
    first, second = events(run, 2), events(run, 2)
    assert [line for line in first if "all is looked at" in line]
    assert [line for line in first if torch_internals.PLAIN in line]
    assert len(first) == len(set(first)) and not second
    assert set(torch_internals.NOTES) <= set(events(learner(), 1))  # the next run reports it too


@pytest.mark.slow
def test_an_option_that_torch_cannot_compile_with_goes(monkeypatch) -> None:
    from ppo.core.compiling import FixedGraphs

    monkeypatch.setattr(torch_internals, "NOTES", [])
    fixed: Any = FixedGraphs(lambda x: x + 1.0, {"cpp_wrapper": True}, {"no_such_option": True})
    assert fixed(torch.zeros(2)).tolist() == [1.0, 1.0]
    (line,) = torch_internals.NOTES
    assert torch_internals.PLAIN in line
    plain: Any = FixedGraphs(lambda x: x + 1.0, {"no_such_option": True})
    assert plain(torch.zeros(2)).tolist() == [1.0, 1.0]


def steep(factor: float) -> Any:
    """A function whose gradient alone depends on `factor`."""

    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return 2.0 * x

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            return factor * grad

    return lambda x: Steep.apply(x).sum()


def looped(factor: float) -> Any:
    """Its loop's body alone depends on `factor`."""
    scan: Any = torch_internals.scan()

    def body(carry: torch.Tensor, step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return factor * carry, carry.clone()

    return lambda x: scan(body, x, torch.arange(3.0))[0]


@pytest.mark.slow
def test_code_of_former_runs_is_found_again_but_not_that_of_another_function(
    monkeypatch,
) -> None:
    from torch._dynamo.utils import counters
    from torch._inductor.utils import fresh_cache

    from ppo.core.compiling import FixedGraphs

    def gradient(factor: float) -> float:
        x = torch.ones(3, requires_grad=True)
        FixedGraphs(steep(factor), {})(x).backward()
        return x.grad[0].item()

    def end(factor: float) -> float:
        with torch.no_grad():
            return FixedGraphs(looped(factor), {})(torch.ones(3))[0].item()

    def found() -> int:
        return counters["aot_autograd"]["autograd_cache_hit"]

    monkeypatch.setattr(torch_internals, "NOTES", [])
    with fresh_cache():
        assert gradient(3.0) == 3.0 and end(3.0) == 27.0
        before = found()
        assert gradient(5.0) == 5.0 and end(5.0) == 125.0
        assert found() == before
        assert gradient(3.0) == 3.0 and end(3.0) == 27.0
        assert found() == before + 2
    assert not torch_internals.NOTES
