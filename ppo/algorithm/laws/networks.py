"""Laws of encoders and memories."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ppo.algorithm import probes
from ppo.algorithm.laws import whole_runs
from ppo.algorithm.laws.subject import (
    compiles,
    is_shipped,
    judge,
    never_waits,
    part_of,
    same,
    saves,
)
from ppo.config import NetworkConfig
from ppo.core.registry import Part
from ppo.envs.observations import layout_of
from ppo.networks import MEMORIES, encoders

SAMPLES, FEATURES, SIZE, STEPS = 6, 5, 4, 7
NUMBERS = spaces.Box(-np.inf, np.inf, (5,), np.float32)


def check_encoder(
    encoder: Any,
    observation_space: spaces.Space[Any] = NUMBERS,
    network: NetworkConfig | None = None,
    **kwargs: Any,
) -> None:
    """The laws of an encoder.

    Args:
        encoder: a class that derives from `ppo.Encoder`, or its import path.
        observation_space: what it encodes; five numbers by default.
        network: section `network` of the configuration.
        kwargs: its options, as in `network.encoder_kwargs`.

    Raises:
        UserError: a line for each law that it breaks.
    """
    part = part_of(encoders.REGISTRY, encoder, kwargs)
    layout, config = layout_of(observation_space), network or NetworkConfig()
    size, read = part.run("numbers", part.kind.numbers, layout)

    def made() -> Any:
        return _made(part, layout, config, torch.Generator().manual_seed(0))

    first = made()
    probes.check(probes.encoder, part, first, layout, size)
    source = torch.Generator().manual_seed(1)
    rows = torch.randint(0, 256, (SAMPLES, *layout.shape), generator=source)
    obs = rows.to(torch.uint8) if layout.images else torch.randn(rows.shape, generator=source)
    if layout.is_packed:  # the numbers inside are floats, which random bytes are not
        obs = torch.zeros_like(obs)
    numbers = read(obs)

    def alone() -> None:
        whole = first(numbers, obs)
        one = part.run("forward", first, numbers[:1], obs[:1])
        if not torch.allclose(whole[:1], one, rtol=1e-4, atol=1e-5):
            raise part.error(
                "an observation's features depend on the others beside it (as with batch"
                " normalization); rollout and update have different ones"
            )

    def again() -> None:
        if not same(first(numbers, obs), first(numbers, obs)):
            raise part.error(
                "two calls give different features (as with dropout): the policy that acted and the"
                " one that learns must be the same"
            )

    def waits() -> None:
        module = made()
        never_waits(part, module, module, numbers, obs)

    laws = [
        lambda: _refuse_unused(part, first, first(numbers, obs)),
        alone,
        again,
        lambda: saves(part, first, made(), lambda e: e(numbers, obs)),
        lambda: compiles(part, made(), numbers, obs),
        waits,
    ]
    judge(laws)
    if not is_shipped(encoder) and observation_space is NUMBERS:
        whole_runs.check(part, "network.encoder", False)


def check_memory(memory: Any, **kwargs: Any) -> None:
    """The laws of a memory.

    Args:
        memory: a class that derives from `ppo.Memory`, or its import path.
        kwargs: its options, as in `network.memory_kwargs`.

    Raises:
        UserError: a line for each law that it breaks.
    """
    part = part_of(MEMORIES, memory, kwargs)

    def made() -> Any:
        return _made(part, FEATURES, SIZE, torch.Generator().manual_seed(0))

    first = made()
    probes.check(probes.memory, part, first, FEATURES)
    source = torch.Generator().manual_seed(1)
    features = torch.randn(STEPS, SAMPLES, FEATURES, generator=source)
    state = torch.randn(SAMPLES, first.num_states, generator=source)
    starts = torch.rand(STEPS, SAMPLES, generator=source) < 0.3

    def whole(of: Any, states: Tensor = state) -> Tensor:
        wide = states.repeat(STEPS, 1)
        found: Tensor = of.sequence(features.flatten(0, 1), wide, starts.flatten(), STEPS)
        return found

    def steps() -> None:
        now, outputs = state, []
        for step in range(STEPS):
            fresh = starts[step].unsqueeze(-1) & (step > 0)
            output, now = first.advance(features[step], now.masked_fill(fresh, 0.0))
            outputs.append(output)
        if not torch.allclose(torch.cat(outputs), whole(first), rtol=1e-4, atol=1e-5):
            raise part.error(
                "a sequence gives other outputs than its steps one by one, with a zero state at the"
                " start of each episode: the update would not see the policy that acted"
            )

    def alone() -> None:
        one = first.advance(features[0, :1], state[:1])
        every = first.advance(features[0], state)
        for a, b in zip(every, one, strict=True):
            if not torch.allclose(a[:1], b, rtol=1e-4, atol=1e-5):
                raise part.error("an environment's memory depends on the others beside it")

    def remembers() -> None:
        if same(whole(first), whole(first, torch.zeros_like(state))):
            raise part.error("its output does not depend on its state: it remembers nothing")

    def waits() -> None:
        module = made()
        never_waits(part, module, module.advance, features[0], state)

    judge(
        [
            steps,
            alone,
            remembers,
            lambda: _refuse_unused(part, first, whole(first)),
            lambda: saves(part, first, made(), whole),
            lambda: compiles(part, made().advance, features[0], state),
            waits,
        ]
    )
    if not is_shipped(memory):
        whole_runs.check(part, "network.memory", False)


def _made(part: Part, *args: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return part(*args)


def _refuse_unused(part: Part, module: Any, output: Tensor) -> None:
    """Every parameter moves the output."""
    named = {name: value for name, value in module.named_parameters() if value.requires_grad}
    if not named:
        return
    unused = list(named)
    if output.requires_grad:
        grads = torch.autograd.grad(output.square().sum(), [*named.values()], allow_unused=True)
        unused = [name for name, grad in zip(named, grads, strict=True) if grad is None]
    if unused:
        raise part.error(f"{', '.join(unused)}: no gradient comes there; it is not used")
