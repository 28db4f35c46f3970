"""Environment steps per second of a configuration: rollout, update, whole loop, and the bound.

The bound ("roofline") is measured on this machine too: the matrix products that a batch needs, with
the same shapes and in the same number, and nothing else. No implementation that computes the same
network in the same minibatches with the same library can be faster.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ppo.algorithm import build
from ppo.algorithm.automatic import chosen
from ppo.algorithm.learner import Learner
from ppo.config import Config
from ppo.core.compiling import chooses_products

WARM_UP = 2  # batches, in which functions are compiled


def measure(config: Config, seconds: float = 3.0) -> dict[str, Any]:
    """Steps per second of this process, after `WARM_UP` batches of training.

    Args:
        seconds: least time of each of the four measurements, which are of whole batches.

    Returns:
        `<part>_steps_per_second` of rollout, update, loop (all that training does, without files)
        and roofline (the bound), the loop's `share_of_roofline`, and what was measured, where.

    Raises:
        UserError: the environment cannot be made, or the settings do not fit it.
    """
    device, config = build.prepare_torch(config), chosen(config)[0]
    envs, device, _ = build.place(config, device)
    with envs:
        begin = time.perf_counter()
        learner = build.build_learner(config, envs, device)
        learner.start()
        for _ in range(WARM_UP):
            learner.step()
        startup = time.perf_counter() - begin
        steps = learner.steps_per_batch
        rollout, _ = learner.collector(0)
        batch, _ = learner.batch_of(rollout)
        # A rate of 0: the policy stays, so that no KL ends the update early.
        knobs = learner.knobs()[0]._replace(learning_rate=torch.zeros((), device=device))
        parts: dict[str, Callable[[], Any]] = {
            "rollout": lambda: learner.collector(0),
            "update": lambda: learner.update(batch, knobs, 0, 0),
            "loop": learner.step,
            "roofline": MatrixProducts(learner),
        }
        speeds = {
            f"{name}_steps_per_second": round(steps / _seconds_each(part, seconds, device))
            for name, part in parts.items()
        }
        loop, bound = speeds["loop_steps_per_second"], speeds["roofline_steps_per_second"]
        return {
            **speeds,
            "share_of_roofline": round(loop / bound, 4),
            "seconds_per_million_steps": round(1e6 / loop, 2),
            "startup_seconds": round(startup, 2),
            "steps_per_batch": steps,
            "env": config.env.id,
            "num_envs": config.env.num_envs,
            "backend": envs.backend,
            "device": str(device),
            "threads": torch.get_num_threads(),
            "compiled": learner.compiled,
            "torch": torch.__version__,
        }


def _seconds_each(function: Callable[[], Any], seconds: float, device: torch.device) -> float:
    """Mean wall time of a call, with the device's queue empty at both ends."""
    function()
    _wait(device)
    begin, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - begin < seconds:
        function()
        calls += 1
        _wait(device)
    return (time.perf_counter() - begin) / calls


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class MatrixProducts:
    """The matrix products of one batch, by the library that computes them in training."""

    def __init__(self, learner: Learner) -> None:
        config, agent = learner.config.ppo, learner.objective.agent
        num_envs, num_steps = learner.collector.envs.num_envs, config.num_steps
        samples = num_envs * num_steps
        self.device = learner.device
        self.compiled = learner.compiled
        minibatch = samples // config.num_minibatches
        updates = config.num_epochs * config.num_minibatches
        acting = _layers(agent.encoder if agent.shared else agent.actor_encoder, agent.actor)
        valuing = _layers(agent.encoder if agent.shared else agent.critic_encoder, agent.critic)
        learning = _layers(agent)
        first = {id(layers[0]) for layers in (acting, valuing)}
        self.products = [
            *(self._product(num_envs, *_sizes(layer), num_steps) for layer in acting),
            *(self._product(samples + num_envs, *_sizes(layer), 1) for layer in valuing),
        ]
        for layer in learning:
            inputs, outputs = _sizes(layer)
            self.products += [
                self._product(minibatch, inputs, outputs, updates),  # forward
                self._product(inputs, minibatch, outputs, updates),  # gradient of the weights
            ]
            if id(layer) not in first:  # observations need no gradient
                self.products.append(self._product(minibatch, outputs, inputs, updates))

    def _product(
        self, rows: int, inner: int, columns: int, times: int
    ) -> tuple[Callable[[], Tensor], int]:
        left, right = (
            torch.randn(shape, device=self.device) for shape in ((rows, inner), (inner, columns))
        )
        if self.compiled and chooses_products(self.device):
            from ppo.core.products import is_large
            from ppo.core.torch_internals import by_onednn

            if is_large(left, right):
                return functools.partial(by_onednn, left, right.t(), None), times
        out = torch.empty(rows, columns, device=self.device)
        return functools.partial(torch.mm, left, right, out=out), times

    def __call__(self) -> None:
        for product, times in self.products:
            for _ in range(times):
                product()


def _layers(*modules: nn.Module) -> list[nn.Linear]:
    return [layer for part in modules for layer in part.modules() if isinstance(layer, nn.Linear)]


def _sizes(layer: nn.Linear) -> tuple[int, int]:
    return layer.in_features, layer.out_features
