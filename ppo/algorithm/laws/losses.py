"""Laws of balancers and auxiliary losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppo.algorithm import probes
from ppo.algorithm.laws import whole_runs
from ppo.algorithm.laws.subject import compiles, is_shipped, judge, part_of, same, saves
from ppo.config import AuxiliaryConfig
from ppo.core.data import Rollout
from ppo.losses import AUXILIARY
from ppo.losses.balancers import REGISTRY as BALANCERS

SIZES = torch.tensor([2.0, 500.0, 0.03])
NAMES, WEIGHTS, OUTPUTS = ["a", "b", "c"], [1.0, 1.0, 1.0], [1, 105, 2]
LATE = 10_000.0  # batches


def check_balancer(balancer: Any, **kwargs: Any) -> None:
    """The laws of a balancer.

    Args:
        balancer: a class that derives from `ppo.Balancer`, or its import path.
        kwargs: its options, as in `balancing.kind_kwargs`.

    Raises:
        UserError: a line for each law that it breaks.
    """
    part = part_of(BALANCERS, balancer, kwargs)
    fresh = part(NAMES, WEIGHTS, OUTPUTS)
    probes.check(probes.balancer, part, fresh, len(NAMES))

    def grown() -> Any:
        made = part(NAMES, WEIGHTS, OUTPUTS)
        for batch in range(30):
            made.observe(SIZES, SIZES * 2, batch + LATE)
        return made

    def gradients() -> None:
        losses = SIZES.clone().requires_grad_()
        total, weights = grown()(losses)
        total.backward()
        found = losses.grad if losses.grad is not None else torch.zeros(3)
        if not ((found > 0).all() and torch.isfinite(found).all()):
            raise part.error(f"a loss has lost its gradient, or its direction: {found.tolist()}")
        if not torch.allclose(found, weights):
            raise part.error(
                "the weights that it gives are not the gradient of the total; use"
                " losses.detach() for them"
            )

    def nothing() -> None:
        made = part(NAMES, WEIGHTS, OUTPUTS)
        made.observe(torch.zeros(3), torch.full((3,), torch.nan), 0.0)
        total, weights = made(torch.zeros(3))
        if not (torch.isfinite(total) and torch.isfinite(weights).all()):
            raise part.error(
                "losses of 0, whose targets have no known variance, give NaN or infinity"
            )

    judge(
        [
            gradients,
            nothing,
            lambda: compiles(part, grown(), SIZES),
            lambda: saves(part, grown(), part(NAMES, WEIGHTS, OUTPUTS), lambda b: b(SIZES)),
        ]
    )
    if not is_shipped(balancer):
        whole_runs.check(part, "balancing.kind", part.kind.exact, "auxiliary.trajectory_weight=0.1")


def check_auxiliary_loss(loss: Any, env: str = "DoubleIntegrator-v0", **kwargs: Any) -> None:
    """The laws of an auxiliary loss.

    Args:
        loss: a class that derives from `ppo.AuxiliaryLoss`, or its import path.
        env: an environment whose observations and actions it is meant for, as in `env.id`.
        kwargs: its weight and options, as in `auxiliary.losses_kwargs`.

    Raises:
        UserError: a line for each law that it breaks.
    """
    part = part_of(AUXILIARY, loss, kwargs)
    agent = whole_runs.learner(f"env.id={env}").objective.agent
    sizes = agent.num_features, agent.observation_size
    made = part(AuxiliaryConfig(), agent, *sizes)
    probes.check(probes.auxiliary, part, made)
    rollout = probes.rollout_for(agent, num_steps=9)
    given = part.run("targets", made.targets, rollout)
    batch = probes.batch_of(rollout, given)
    with torch.no_grad():
        prediction = agent(batch.obs)
    name, mask = made.name, given[f"{made.name}_mask"].bool()

    def value(targets: dict[str, Tensor]) -> Tensor:
        found: Tensor = made(prediction, batch._replace(targets=targets), None).loss
        return found

    def finite() -> None:
        if not torch.isfinite(value(given)):
            raise part.error("the loss is NaN or infinite")

    def masked() -> None:
        target = given[name]
        hidden = ~mask if mask.shape == target.shape else torch.zeros_like(target, dtype=torch.bool)
        # A whole number may be a class, so another sample's stands for it.
        other = target + 1e6 if target.is_floating_point() else target.roll(1, 0)
        spoiled = {**given, name: torch.where(hidden, other, target)}
        if not same(value(given), value(spoiled)):
            raise part.error("targets that its mask rules out count")

    def blind() -> None:
        larger = made.targets(rollout._replace(rewards=rollout.rewards * 2.0**20))
        if not all(same(larger[key], given[key]) for key in given):
            raise part.error(
                "its targets depend on the size of the rewards: divide by a statistic of them,"
                " which its head keeps"
            )

    def own_episode() -> None:
        steps, envs = rollout.rewards.shape[:2]
        rows = torch.arange(steps * envs).view(steps, envs)[: steps // 2 + 1, 0]
        seen = given[f"{name}_mask"][rows]
        for shift in (100, -100):
            after = made.targets(_spoiled_after_the_end(rollout, shift))
            pair = [found[name][rows] for found in (given, after)]
            if seen.shape == pair[0].shape:
                pair = [torch.where(seen.bool(), x, torch.zeros_like(x)) for x in pair]
            if not (same(after[f"{name}_mask"][rows], seen) and same(*pair)):
                raise part.error(
                    "targets of an episode depend on what came after its end: mask them, or stop"
                    " there (rollout.ended)"
                )

    def learns() -> None:
        features = prediction.features.clone().requires_grad_()
        loss = made(prediction._replace(features=features), batch, None).loss
        if loss.requires_grad:
            loss.backward()
        if features.grad is None:
            raise part.error(
                "no gradient reaches prediction.features: the encoder learns nothing from it"
            )

    def compiled() -> None:
        compiles(
            part,
            lambda features, b: made.errors(prediction._replace(features=features), b),
            prediction.features,
            batch,
        )

    laws = [finite, masked, blind, own_episode, learns, compiled]
    judge(laws)
    if not is_shipped(loss):
        whole_runs.check(part, "auxiliary.losses", True, f"env.id={env}")


def _spoiled_after_the_end(rollout: Rollout, shift: int) -> Rollout:
    """Environment 0 shows, does and gets something else after its episode has ended."""
    first = rollout.rewards.shape[0] // 2 + 1

    def spoiled(value: Tensor, other: Tensor) -> Tensor:
        changed = value.clone()
        changed[first:, 0] = other[first:, 0]
        return changed

    return rollout._replace(
        obs=spoiled(rollout.obs, rollout.obs + shift),
        actions=spoiled(rollout.actions, rollout.actions.roll(1, 1)),
        rewards=spoiled(rollout.rewards, rollout.rewards + shift),
    )
