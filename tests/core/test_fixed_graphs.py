"""Compiled functions that look at their arguments alone, and what that asks of the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ppo.algorithm import build
from ppo.algorithm.rollout import collect, players
from ppo.config import Config
from ppo.core import recording
from ppo.core.arguments import look
from ppo.core.compiling import FixedGraphs
from ppo.losses.balancers import REGISTRY as BALANCERS
from ppo.losses.base import Knobs

SMALL = [
    "env.num_envs=4",
    "ppo.num_steps=25",
    "ppo.num_epochs=2",
    "ppo.num_minibatches=2",
    "env.calibration_steps=25",
    "train.total_timesteps=1000",
    "system.device=cpu",
    "system.compile=always",
]
SLOW = [
    ["network.memory=gru", "env.observation_scale=tails"],
    ["ppo.value_loss=hl_gauss"],
    ["ppo.learning_rate_schedule=kl", "ppo.target_kl=0.001", "ppo.clip_schedule=linear"],
    ["ppo.learning_rate_schedule=linear", "ppo.target_kl=0.0001"],
    ["ppo.normalize_advantages=batch", "ppo.component_mixing=sum"],
    ["auxiliary.trajectory_weight=1.0"],
    *(
        [f"balancing.kind={kind}", "auxiliary.trajectory_weight=1", "auxiliary.success_weight=1"]
        for kind in BALANCERS.names()
    ),
]
KINDS = [[], *(pytest.param(more, marks=pytest.mark.slow) for more in SLOW)]


@pytest.mark.parametrize("more", KINDS, ids=lambda more: " ".join(more) or "shipped")
def test_nothing_changes_that_only_torch_itself_would_look_at(more: list[str], monkeypatch) -> None:
    """Here torch does look, and would refuse to compile again."""
    torch._dynamo.reset()

    def compiled(function: Any, device: Any, loops: bool = False) -> Any:
        return torch.compile(function, backend="eager", fullgraph=True, dynamic=False)

    for module in (collect, players, recording):
        monkeypatch.setattr(module, "compiled", compiled)
    config = Config.from_dict({}, [*SMALL, *more])
    device = build.prepare_torch(config)
    envs = build.build_environments(config, device)
    learner = build.build_learner(config, envs, device)
    learner.start()
    learner.step()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(6):
            learner.step()


def test_a_graph_is_for_arguments_of_one_look_and_for_no_others() -> None:
    x = torch.zeros(4, 6)
    different = [
        x,
        x.double(),
        x[:3],
        x.T.contiguous().T,
        (x,),
        Knobs(x, x, x),
        (x, x, x),
        {"a": x},
        {"b": x},
        3,
        3.0,
        True,
        1,
        None,
        "a",
    ]
    found = [look(value) for value in different]
    for i, one in enumerate(found):
        for j, other in enumerate(found):
            assert (one == other) == (i == j), (different[i], different[j])
    assert look({"a": x + 1}) == look({"a": x})
    assert hash(tuple(found))


@pytest.mark.slow
def test_it_computes_what_the_function_does_for_every_look() -> None:
    scale = torch.nn.Parameter(torch.tensor(2.0))
    calls: list[int] = []

    def function(x: torch.Tensor, twice: bool) -> torch.Tensor:
        calls.append(1)
        return (x * scale).sum() * (2 if twice else 1)

    fixed: Any = FixedGraphs(function, {"cpp_wrapper": True})
    for x in (torch.ones(3), torch.ones(2, 2), torch.ones(3)):
        for twice in (True, False):
            for grad in (True, False):
                with torch.set_grad_enabled(grad):
                    total = fixed(x, twice)
                assert total.item() == 2.0 * x.numel() * (1 + twice)
                assert total.requires_grad == grad
    with torch.no_grad():
        scale.fill_(3.0)  # a tensor it reads may change, and does in every gradient step
    assert fixed(torch.ones(3), False).item() == 9.0


def test_one_tensor_given_twice_looks_unlike_two_tensors() -> None:
    x, y = torch.zeros(3), torch.ones(3)
    assert look((x, x, y)) != look((x, y, y)) != look((x, y, x))
    assert look({"a": x, "b": (x,)}) != look({"a": x, "b": (y,)})


@pytest.mark.slow
def test_a_graph_for_one_tensor_given_twice_is_none_for_two_tensors() -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.add_(1.0) + y

    fixed: Any = FixedGraphs(function, {"cpp_wrapper": True})
    for _ in range(2):
        x, y = torch.zeros(3), torch.full((3,), 5.0)
        assert fixed(x, x).tolist() == [2.0] * 3
        assert fixed(y, torch.ones(3)).tolist() == [7.0] * 3
