"""Laws of the critic's parts: value losses, return normalizers, value clips."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

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
from ppo.values import CLIPS, HEADS, SCALES
from ppo.values.head import Units
from ppo.values.scale import OutputLayer

UNITS = Units(10.0, 10.0, support=80.0)
COMPONENTS = 3
POWERS = (-30, 30)


def check_value_loss(loss: Any, **kwargs: Any) -> None:
    """The laws of a value loss.

    Args:
        loss: a class that derives from `ppo.ValueHead`, or its import path.
        kwargs: its options, as in `ppo.value_loss_kwargs`.

    Raises:
        UserError: a line for each law that it breaks.
    """
    part = part_of(HEADS, loss, kwargs)
    head = part(UNITS)
    probes.check(probes.head, part, head)
    source = torch.Generator().manual_seed(0)
    output = torch.randn(8, 2, head.num_outputs, generator=source)
    targets = torch.randn(8, 2, generator=source) * 10

    def both(output: Tensor, targets: Tensor, head: Any = head) -> Tensor:
        found: Tensor = head.loss(output, head.decode(output), targets)
        return found

    def zero() -> None:
        values = head.decode(torch.zeros(4, 2, head.num_outputs))
        if not same(values, torch.zeros(4, 2)):
            raise part.error(
                "decode must give exactly 0 for an output of 0: the critic starts there, whatever"
                " the size of the rewards"
            )

    def finite() -> None:
        if not torch.isfinite(both(output, targets)).all():
            raise part.error("loss gives NaN or infinity")

    def alone() -> None:
        if not torch.allclose(both(output, targets)[:3], both(output[:3], targets[:3])):
            raise part.error(
                "the loss of a sample depends on the others beside it; leave means to the trainer"
            )

    def reaches() -> None:
        wanted = torch.tensor([[-17.0, 3.0], [0.4, 31.0]])
        found = _descended(head, wanted)
        if not torch.allclose(found, wanted, atol=0.3, rtol=0):
            raise part.error(
                f"600 steps of gradient descent on the loss lead to {_shown(found)}, the targets"
                f" are {_shown(wanted)}"
            )

    judge(
        [
            zero,
            finite,
            alone,
            reaches,
            lambda: compiles(part, both, output, targets),
            lambda: saves(part, head, part(UNITS), lambda h: both(output, targets, h)),
            lambda: never_waits(part, head, both, output, targets),
        ]
    )
    if not is_shipped(loss):
        whole_runs.check(part, "ppo.value_loss", head.exact)


def _descended(head: Any, targets: Tensor) -> Tensor:
    output = torch.zeros(2, 2, head.num_outputs, requires_grad=True)
    optimizer = torch.optim.Adam([output], lr=0.3)
    for _ in range(600):
        optimizer.zero_grad()
        head.loss(output, head.decode(output), targets).sum().backward()
        optimizer.step()
    found: Tensor = head.decode(output).detach()
    return found


def _shown(values: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in values.flatten().tolist())


def check_return_normalizer(normalizer: Any, **kwargs: Any) -> None:
    """The laws of a return normalizer.

    Args:
        normalizer: a class that derives from `ppo.ValueScale`, or its import path.
        kwargs: its options, as in `ppo.return_normalizer_kwargs`.

    Raises:
        UserError: a line for each law that it breaks.
    """
    part = part_of(SCALES, normalizer, kwargs)
    first, _ = _scale(part)
    probes.check(probes.scale, part, first, COMPONENTS)
    kind = part.kind

    def there_and_back() -> None:
        scale, critic = _scale(part)
        for seed in range(3):
            learn(scale, returns(seed), critic)
        values = returns(7)
        back = scale.from_norm(scale.to_norm(values))
        if not torch.allclose(back, values, rtol=1e-5, atol=1e-3):
            raise part.error("from_norm(to_norm(values)) does not give the values back")

    def keeps_predictions() -> None:
        scale, critic = _scale(part)
        learn(scale, returns(0), critic)
        features = torch.randn(64, 8, generator=torch.Generator().manual_seed(4))
        before = scale.from_norm(critic(features))
        learn(scale, returns(1, mean=-2000.0, std=40.0), critic)
        after = scale.from_norm(critic(features))
        size = float(before.detach().abs().max())
        kept = torch.allclose(before, after, rtol=1e-4, atol=1e-3 * size)
        if kept != kind.preserves_outputs:
            raise part.error(
                "its statistics moved and the critic's predictions in reward units "
                f"{'stayed' if kept else 'changed'}; preserves_outputs is {kind.preserves_outputs}"
            )

    def blind() -> None:
        same_units = all(_sees_no_power(part, power) for power in POWERS)
        if kind.exact and not same_units:
            raise part.error(
                f"rewards times 2^{POWERS[1]} give other network units: it has a fixed number in"
                " reward units, such as 1e-8 added to a standard deviation; set exact = False on"
                " the class if that is meant"
            )
        if same_units and not kind.exact:
            raise part.error("it sees no reward scale; leave out exact = False")

    def waits_for_rewards() -> None:
        scale, critic = _scale(part)
        learn(scale, torch.zeros(16, COMPONENTS), critic)
        if scale.ready.any():
            raise part.error("returns of nothing but 0 set its scale")
        if not (learn(scale, returns(0), critic).all() and scale.ready.all()):
            raise part.error("the first returns that are not 0 do not set its scale")

    def constant() -> None:
        scale, critic = _scale(part)
        learn(scale, torch.full((16, COMPONENTS), 5.0), critic)
        units = scale.to_norm(torch.full((1, COMPONENTS), 5.0))
        if not (torch.isfinite(units).all() and (scale.size > 0).all()):
            raise part.error("returns that are all equal give NaN, infinity or a size of 0")

    def weights() -> None:
        one, critic = _scale(part)
        other, _ = _scale(part)
        wanted, ones = returns(0), (torch.arange(256) < 200).float()
        learn(one, wanted, critic, ones)
        learn(other, torch.where(ones.unsqueeze(-1) > 0, wanted, 1e9), critic, ones)
        if not (same(one.mean, other.mean) and same(one.std, other.std)):
            raise part.error("returns of weight 0 move its statistics")

    def saved() -> None:
        scale, critic = _scale(part)
        learn(scale, returns(0), critic)
        saves(part, scale, _scale(part)[0], lambda s: s.to_norm(returns(1)))

    honest = [there_and_back, keeps_predictions, blind] if kind.carries_back else []
    judge([*honest, waits_for_rewards, constant, weights, saved])
    if not is_shipped(normalizer):
        other_clip = [] if kind.affine else ["ppo.value_clip=none"]
        whole_runs.check(part, "ppo.return_normalizer", kind.exact, *other_clip)


def returns(seed: int, mean: float = 800.0, std: float = 300.0, size: int = 256) -> Tensor:
    """Returns [B, 3] whose components are a million apart."""
    source = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([1.0, 1e3, 1e-3])
    return (torch.randn(size, COMPONENTS, generator=source) * std + mean) * sizes


def _scale(part: Any) -> tuple[Any, nn.Linear]:
    """A normalizer and the output layer of a critic, which are always the same."""
    critic = nn.Linear(8, COMPONENTS)
    with torch.no_grad():
        critic.bias.zero_()
        source = torch.Generator().manual_seed(9)
        critic.weight.copy_(torch.randn(COMPONENTS, 8, generator=source))
    return part(COMPONENTS, 10.0, 5.0), critic


def learn(scale: Any, returns: Tensor, critic: nn.Linear, weights: Tensor | None = None) -> Tensor:
    """`scale.update`, whose output layer the critic takes over; the components that are new."""
    layer = OutputLayer(critic.weight, critic.bias, 1.0)
    given = torch.ones(len(returns)) if weights is None else weights
    first, after = scale.update(returns, given, layer)
    with torch.no_grad():
        critic.weight.copy_(after.weight)
        critic.bias.copy_(after.bias)
    found: Tensor = first
    return found


def _sees_no_power(part: Any, power: int) -> bool:
    (plain, one), (scaled, other) = _scale(part), _scale(part)
    for seed in range(4):
        learn(plain, returns(seed), one)
        learn(scaled, returns(seed) * 2.0**power, other)
    units = plain.to_norm(returns(9)), scaled.to_norm(returns(9) * 2.0**power)
    return same(*units) and same(one.weight, other.weight) and same(one.bias, other.bias)


def check_value_clip(clip: Any, **kwargs: Any) -> None:
    """The laws of a value clip.

    Args:
        clip: a class that derives from `ppo.ValueClip`, or its import path.
        kwargs: its options, as in `ppo.value_clip_kwargs`.

    Raises:
        UserError: a line for each law that it breaks.
    """
    part = part_of(CLIPS, clip, kwargs)
    made = part(0.2, 1.0)
    probes.check(probes.clip, part, made)
    old = torch.tensor([[-1000.0], [-1.0], [0.0], [50.0], [2000.0]])
    std, size = torch.tensor([300.0], dtype=torch.float64), torch.tensor([30.0])

    def positive() -> None:
        if not (made.width(old, std, size) >= 0).all():
            raise part.error("width gives NaN or a number below 0")

    def blind() -> None:
        widths = [made.width(old * s, std * s, size * s) for s in (2.0**p for p in (0, *POWERS))]
        if made.exact and not all(same(widths[0], width) for width in widths):
            raise part.error(
                f"rewards times 2^{POWERS[1]} give another width in network units; set exact ="
                " False on the class if that is meant"
            )

    judge(
        [
            positive,
            blind,
            lambda: compiles(part, made.width, old, std, size),
            lambda: saves(part, made, part(0.2, 1.0), lambda c: c.width(old, std, size)),
            lambda: never_waits(part, made, made.width, old, std, size),
        ]
    )
    if not is_shipped(clip):
        whole_runs.check(part, "ppo.value_clip", made.exact)
