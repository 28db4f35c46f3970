"""Whether parts of the user's give what the trainer needs, before the first batch.

`ppo/algorithm/laws/` asks more, and takes longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from ppo.core.data import Batch, Rollout
from ppo.core.layout import Layout
from ppo.core.registry import Part

T = TypeVar("T")
SAMPLES, COMPONENTS = 6, 2


@torch.no_grad()
def check(probe: Callable[..., None], part: Part, made: T, *args: Any) -> T:
    """What was made, after a look at it where it is the user's.

    Raises:
        UserError: something is missing or has another shape; with the place of the class.
    """
    if part.own:
        with torch.random.fork_rng(devices=[]):
            probe(part, made, *args)
    return made


def tensor(part: Part, what: str, found: Any, *shape: int, single: bool = False) -> Tensor:
    """`found`, if it is a tensor of this shape.

    Args:
        single: it must be float32, as the layers behind it.

    Raises:
        UserError: it is not.
    """
    wanted = f"{what} must give a tensor {list(shape)}"
    if not isinstance(found, Tensor):
        raise part.error(f"{wanted}, not {_kind(found)}")
    if tuple(found.shape) != shape:
        raise part.error(f"{wanted}, not {list(found.shape)}")
    if not found.is_floating_point():
        raise part.error(f"{what} must give floating point numbers, not {found.dtype}")
    if single and found.dtype != torch.float32:
        raise part.error(f"{what} must give float32, not {found.dtype}")
    return found


def count(part: Part, made: Any, name: str) -> int:
    """An attribute that is a whole number."""
    value = getattr(made, name, None)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        found = "is missing" if value is None else f"is {value!r}"
        raise part.error(f"its {name} {found}; set self.{name} to a whole number of 1 or more")
    return value


def encoder(part: Part, made: Any, layout: Layout, size: int) -> None:
    """[B, D] numbers and [B, ...] rows -> features [B, F]."""
    features = count(part, made, "num_features")
    whole = layout.whole or layout
    rows = torch.zeros(SAMPLES, *whole.shape, dtype=getattr(torch, whole.dtype))
    with torch.enable_grad():
        found = part.run("forward", made, torch.zeros(SAMPLES, size), rows)
    tensor(part, "forward", found, SAMPLES, features, single=True)
    if not found.requires_grad and any(p.requires_grad for p in made.parameters()):
        raise part.error(
            "forward gives features without a gradient (detach, no_grad or .data?), so its "
            "parameters would never learn; requires_grad_(False) freezes them where that is meant"
        )


def memory(part: Part, made: Any, num_features: int) -> None:
    """Features [B, F] and a state [B, S] -> output [B, H] and the next state [B, S]."""
    states, outputs = count(part, made, "num_states"), count(part, made, "num_features")
    features = torch.zeros(SAMPLES, num_features)
    projected = part.run("project", made.project, features)
    if not isinstance(projected, Tensor) or projected.shape[:1] != (SAMPLES,):
        raise part.error(f"project must give a tensor [{SAMPLES}, ...] for {SAMPLES} samples")
    state = part.run("cell", made.cell, projected, torch.zeros(SAMPLES, states))
    tensor(part, "cell", state, SAMPLES, states, single=True)
    output = part.run("read", made.read, state)
    tensor(part, "read", output, SAMPLES, outputs, single=True)


def head(part: Part, made: Any) -> None:
    """Raw outputs [B, K, O] -> values [B, K] and losses [B, K]."""
    outputs = count(part, made, "num_outputs")
    with torch.enable_grad():
        raw = torch.zeros(SAMPLES, COMPONENTS, outputs, requires_grad=True) + 0.0
        values = part.run("decode", made.decode, raw)
        tensor(part, "decode", values, SAMPLES, COMPONENTS)
        loss = part.run("loss", made.loss, raw, values, torch.ones(SAMPLES, COMPONENTS))
    tensor(part, "loss", loss, SAMPLES, COMPONENTS)
    if not loss.requires_grad:
        raise part.error("loss has no gradient (detach or no_grad?), so the critic would not learn")


def scale(part: Part, made: Any, num_components: int) -> None:
    """Statistics [K] -> a frame of two [K]; values there and back keep their shape."""
    if not isinstance(getattr(made, "unit", None), float | int):
        raise part.error("its unit is missing; call super().__init__")
    ones = torch.ones(num_components, dtype=torch.float64)
    frame = part.run("frame", made.frame, ones, ones)
    if not isinstance(frame, tuple) or len(frame) != 2:
        raise part.error(f"frame must give an offset and a size, not {_kind(frame)}")
    for found in frame:
        tensor(part, "frame", found, num_components)
    for name in ("to_norm", "from_norm"):
        values = torch.zeros(SAMPLES, num_components)
        found = part.run(name, getattr(made, name), values)
        tensor(part, name, found, SAMPLES, num_components)


def clip(part: Part, made: Any) -> None:
    """Old values [B, K] -> widths [B, K]."""
    old, ones = torch.ones(SAMPLES, COMPONENTS), torch.ones(COMPONENTS)
    width = part.run("width", made.width, old, ones.double(), ones)
    tensor(part, "width", width, SAMPLES, COMPONENTS)


def balancer(part: Part, made: Any, size: int) -> None:
    """Losses [J] -> a total and the weights [J]."""
    found = part.run("forward", made, torch.ones(size))
    if not isinstance(found, tuple) or len(found) != 2:
        raise part.error(f"forward must give a total and the weights, not {_kind(found)}")
    tensor(part, "forward", found[0])
    tensor(part, "forward", found[1], size)


def auxiliary(part: Part, made: Any) -> None:
    """A rollout -> targets and a mask [B, ...]; prediction and batch -> errors of its shape."""
    if not isinstance(made.name, str) or not made.name.isidentifier():
        raise part.error(f"its name {made.name!r} must be a word of letters, digits and _")
    if hasattr(torch.nn.ModuleDict(), made.name):  # which holds its head under this name
        raise part.error(f"its name {made.name!r} means something to torch; write another one")
    if not isinstance(getattr(made, "head", None), torch.nn.Module):
        raise part.error("make_head must give a module of torch")
    rollout = rollout_for(made.agent)
    found = part.run("targets", made.targets, rollout)
    names = made.name, f"{made.name}_mask"
    if not isinstance(found, dict) or not set(names) <= found.keys():
        raise part.error(f"targets must give a dict with {names[0]!r} and {names[1]!r}")
    samples = rollout.rewards.shape[0] * rollout.rewards.shape[1]
    for name, value in found.items():
        if not isinstance(value, Tensor) or value.shape[:1] != (samples,):
            shape = list(value.shape) if isinstance(value, Tensor) else _kind(value)
            raise part.error(f"targets: {name!r} must be a tensor [{samples}, ...], not {shape}")
    batch = batch_of(rollout, found)
    errors = part.run("errors", made.errors, made.agent(batch.obs), batch)
    tensor(part, "errors", errors, *found[names[1]].shape)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def rollout_for(agent: Any, num_steps: int = 5) -> Rollout:
    """A rollout of this agent's observations and actions, with an episode that ends in it."""
    source = torch.Generator().manual_seed(0)
    shape = (num_steps, 3)
    layout, components = agent.layout, agent.num_components
    obs = torch.randint(0, 2, (*shape, *layout.shape), generator=source)
    obs = obs.to(getattr(torch, layout.dtype))
    if not layout.images:
        obs[..., : layout.num_floats] += torch.randn(*shape, layout.num_floats, generator=source)
    ended = torch.zeros(shape, dtype=torch.bool)
    ended[num_steps // 2, 0] = True
    distribution = agent.distribution
    params = agent.policy_params(obs.flatten(0, 1))
    actions = distribution.mode(params).unflatten(0, shape)
    rewards = torch.randn(*shape, components, generator=source)
    return Rollout(
        obs=obs,
        actions=actions,
        log_probs=torch.zeros(shape),
        values=torch.zeros_like(rewards),
        next_values=torch.zeros_like(rewards),
        rewards=rewards,
        terminated=ended,
        truncated=torch.zeros_like(ended),
        success=torch.where(ended, 1.0, torch.nan),
        valid=torch.ones_like(ended),
    )


def batch_of(rollout: Rollout, targets: dict[str, Tensor]) -> Batch:
    """The samples of a rollout, with returns and advantages of nothing."""
    zeros = torch.zeros_like(rollout.log_probs).flatten()
    return Batch(
        obs=rollout.obs.flatten(0, 1),
        actions=rollout.actions.flatten(0, 1),
        old_log_probs=zeros,
        old_values=rollout.values.flatten(0, 1),
        returns=rollout.rewards.flatten(0, 1),
        advantages=zeros,
        valid=rollout.valid.flatten().float(),
        targets=targets,
    )
