"""What an environment gives beside observation and reward, found before the run begins."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ppo.core.errors import UserError
from ppo.envs.host import masks
from ppo.envs.host.checks import shortened
from ppo.envs.host.slot import Probed, Slot, Task
from ppo.envs.observations import ObservationEncoder
from ppo.envs.precision import decide

PROBES = 10  # actions that an environment may refuse before its components are given up


def probe(slot: Slot, encoder: ObservationEncoder, task: Task, notes: Sequence[str]) -> Probed:
    """The environment's reward components and source of masks, by a reset and a step.

    Args:
        notes: what there is to say already.
    """
    observation, info = slot.reset(0)
    source = masks.find_source(slot.env, info, task.action_masks, slot.spec.id)
    look = partial(encoder.parts, observation)
    precise, more = decide(encoder.leaves, task.precise, slot.spec.id, look, always=True)
    has_components = info.get("reward_components") is not None
    told = info if has_components else _of_a_step(slot, observation, info, source)
    if source == "none" and task.action_masks != "never" and masks.KEY in told:
        more.append(
            f"env.action_masks: {slot.spec.id} gives info[{masks.KEY!r}] with a step and not with "
            "reset, so no action is masked; let reset give it too"
        )
    return Probed(_component_names(slot, told), source, precise, [*notes, *more])


def _of_a_step(slot: Slot, observation: Any, info: dict[str, Any], source: str) -> dict[str, Any]:
    """The info that a step gives; an empty one where none can be done."""
    slot.env.action_space.seed(0)
    for _ in range(PROBES):
        try:
            action = _some_action(slot, observation, info, source)
            found = slot.env.step(action)[4]
            found.get("reward_components")
            return found
        except KeyboardInterrupt:
            raise
        except BaseException:
            observation, info = slot.reset(0)  # a real step will report it if that is a fault
    return {}


def _component_names(slot: Slot, info: dict[str, Any]) -> tuple[str, ...]:
    parts = info.get("reward_components")
    if parts is None:
        return ()
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
