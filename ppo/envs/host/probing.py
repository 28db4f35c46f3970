"""What an environment gives beside observation and reward, found before the run begins."""

from __future__ import annotations

from typing import Any

from ppo.core.errors import UserError
from ppo.envs.host import masks
from ppo.envs.host.checks import shortened
from ppo.envs.host.slot import Probed, Slot, Task
from ppo.envs.observations import ObservationEncoder

PROBES = 10  # actions that an environment may refuse before its components are given up


def probe(
    slot: Slot, encoder: ObservationEncoder, task: Task, notes: tuple[str, ...] = ()
) -> Probed:
    """The environment's reward components and source of masks, by a reset and a step.

    Args:
        notes: what there is to say already.
    """
    observation, info = slot.reset(0)
    source = masks.find_source(slot.env, info, task.action_masks, slot.spec.id)
    notes = *notes, *_notes(slot, encoder, observation)
    return Probed(_component_names(slot, observation, info, source), source, notes)


def _notes(slot: Slot, encoder: ObservationEncoder, observation: Any) -> tuple[str, ...]:
    try:
        coarse = encoder.coarse(observation)
    except (TypeError, ValueError):
        return ()  # the first real reset will meet the same fault and report it
    if not coarse:
        return ()
    return (
        f"env.id: {slot.spec.id}: the observation has numbers beyond 16,777,216, between which "
        f"float32 holds no fractions and then not every whole number: {', '.join(coarse)}; let "
        "the environment give what matters, such as a difference",
    )


def _component_names(
    slot: Slot, observation: Any, info: dict[str, Any], source: str
) -> tuple[str, ...]:
    parts = info.get("reward_components")
    slot.env.action_space.seed(0)
    for _ in range(PROBES if parts is None else 0):
        try:
            action = _some_action(slot, observation, info, source)
            parts = slot.env.step(action)[4].get("reward_components")
            break
        except (Exception, SystemExit):
            observation, info = slot.reset(0)  # a real step will report it if that is a fault
    if parts is None:
        return ("reward",)
    if not isinstance(parts, dict) or not parts or not all(isinstance(i, str) for i in parts):
        raise UserError(
            f"env.id: {slot.spec.id}: info['reward_components'] must be a dict from names to "
            f"numbers, got {shortened(parts)}"
        )
    return tuple(parts)


def _some_action(slot: Slot, observation: Any, info: dict[str, Any], source: str) -> Any:
    """A random one, which the mask allows."""
    space = slot.env.action_space
    if source == "none":
        return space.sample()
    return masks.sample(space, masks.read(slot.env, observation, info, source))
