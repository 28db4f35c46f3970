"""Gymnasium's own vectorized environments.

CartPole's gives exactly the data of `sync`, because its state is open: each episode is seeded here
as Gymnasium seeds a single environment. Any other keeps its own random numbers and its own way of
starting again, so a run can be resumed at a reset only.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from ppo.core.data import Step
from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.actions import ActionDecoder
from ppo.envs.at_once import REACHED, AtOnce, one_of
from ppo.envs.host import checks, masks
from ppo.envs.host.slot import Task
from ppo.envs.observations import ObservationEncoder, as_array
from ppo.envs.precision import decide
from ppo.envs.reports import numbers_of, of_one


class VectorEnvironments(AtOnce):
    """Any `gymnasium.vector.VectorEnv`.

    Next-step autoreset: the step after an episode's end is no step of the task; it is given with
    valid = False. Same-step autoreset: the state reached is taken from infos["final_obs"], or
    from "final_observation", as Gymnasium called it before 1.0. What metadata say of it is
    believed until an episode ends otherwise.

    Raises:
        UserError: autoreset is disabled in it.
    """

    backend = "vector"
    returns = {
        "reset": "(observations, infos dict)",
        "step": "(observations, rewards, terminated, truncated, infos dict)",
    }

    def __init__(
        self, envs: VectorEnv, env_id: str, task: Task, first_index: int, closes: bool = True
    ) -> None:
        super().__init__(envs, env_id, task, first_index, closes)
        self.place = f"env.backend: vector: {env_id}"
        self.component_names = ("reward",)
        limit = getattr(envs.spec or envs, "max_episode_steps", None)
        self.max_episode_steps = task.kwargs.get("max_episode_steps", limit)
        self.decoder = ActionDecoder(self.action_space, env_id)
        self.masks = self._find_masks(task)
        count = masks.size_of(self.action_space) if self.masks else 0
        precise, self.notes = self._find_precise(task.precise)
        self.encoder = ObservationEncoder(self.observation_space, env_id, count, precise=precise)
        self.layout = self.encoder.layout
        self._told_components = False
        self._ended = np.zeros(self.num_envs, bool)
        declared = (envs.metadata or {}).get("autoreset_mode")
        self._declared = declared is not None
        self._mode = _mode_of(declared, env_id) if self._declared else AutoresetMode.NEXT_STEP
        if self._mode == AutoresetMode.DISABLED:
            raise UserError(
                f"env.backend: vector: {env_id} does not start episodes by itself (its "
                "autoreset_mode is disabled); make it with next-step or same-step autoreset"
            )

    def _first(self, observations: Any, infos: dict[str, Any]) -> Tensor:
        self._ended[:] = False
        rows = self._with_masks(self._encode(observations), observations, infos)
        return torch.from_numpy(rows)

    def _find_masks(self, task: Task) -> bool:
        """Whether a reset gives masks. It is harmless: `reset` seeds the environments again."""
        if task.action_masks == "never" or not masks.size_of(self.action_space):
            return False
        _, infos = self._asked("reset", seed=self._seed_of(0))
        if hasattr(self.env.unwrapped, masks.METHOD):
            raise UserError(
                f"{self.place} has a method {masks.METHOD}, which is read "
                "from single environments only; give the masks as "
                f"infos[{masks.KEY!r}] [N, M], write env.backend: sync, or env.action_masks: never"
            )
        self._observed_masks = masks.KEY not in infos and masks.in_observation(
            self.observation_space, self.action_space
        )
        return masks.KEY in infos or self._observed_masks

    def _find_precise(self, wanted: Collection[str] | None) -> tuple[tuple[str, ...], list[str]]:
        """Entries whose remainders are kept, and notes; a reset where the space leaves it open."""
        encoder = ObservationEncoder(self.observation_space, self.env_id)

        def look() -> list[Any]:
            return encoder.parts(self._asked("reset", seed=self._seed_of(0))[0])

        return decide(encoder.leaves, wanted, self.env_id, look)

    def _with_masks(
        self,
        rows: np.ndarray,
        observations: Any,
        infos: dict[str, Any],
        over: np.ndarray | None = None,
    ) -> np.ndarray:
        """Writes the masks of all environments into their rows, but where an episode is `over`."""
        if not self.masks or (over is not None and over.all()):
            return rows
        told = observations if self._observed_masks else infos
        if masks.KEY not in told:
            raise UserError(
                f"env.id: {self.env_id}: infos[{masks.KEY!r}] is missing, which the first reset "
                "gave; env.action_masks: never ignores masks"
            )
        every = self._whole(told, masks.KEY)
        for env, (row, mask) in enumerate(zip(rows, every, strict=True)):
            if over is not None and over[env]:
                continue
            try:
                self.encoder.write_mask(masks.flat(self.action_space, mask), row)
            except (ValueError, TypeError) as error:
                number = self.first_index + env
                raise UserError(f"environment {number} ({self.env_id}): {error}") from None
        return rows

    def step(self, actions: Tensor) -> Step:
        taken = self.decoder.array(actions.detach().cpu().numpy())
        self._moved = True
        observations, rewards, terminated, truncated, infos = self._asked("step", taken)
        encoded = self._encode(observations)
        # A dummy step ends nothing, whatever is said of it: see ppo/core/data.py.
        valid = ~self._ended
        terminated = self._flags(terminated, "terminated") & valid
        truncated = self._flags(truncated, "truncated") & valid
        ended = terminated | truncated
        final = self._reached(encoded, ended, infos)
        if self.masks:
            over = ended if self._mode == AutoresetMode.NEXT_STEP else None
            final = encoded.copy() if final is encoded else final
            self._with_masks(encoded, observations, infos, over)
        if self._mode == AutoresetMode.NEXT_STEP:
            self._ended = ended
        if self._report and ended.any():
            said = self._said_at_end(infos)
            for env in np.flatnonzero(ended).tolist():
                self.reports.add(numbers_of(of_one(said, env, self.num_envs)))
        if "reward_components" in infos and not self._told_components:
            self._told_components = True
            self.events.append(
                f"env.backend: vector: infos['reward_components'] of {self.env_id} are not read, "
                "and the reward is learned as one; with env.backend: sync they are"
            )
        rewards = np.where(valid, self._column(rewards, "rewards"), 0).astype(np.float32)
        self._check(final, rewards)
        obs, column = torch.from_numpy(encoded), torch.from_numpy(rewards)[:, None]
        if valid.all() and not ended.any():
            return self._uneventful(obs, column)
        return Step(
            obs=obs,
            rewards=column,
            terminated=torch.from_numpy(terminated),
            truncated=torch.from_numpy(truncated),
            final_obs=torch.from_numpy(final),
            success=torch.from_numpy(self._success(infos, ended)),
            valid=torch.from_numpy(valid),
        )

    def _column(self, found: Any, name: str) -> np.ndarray:
        """[N] of what may have come as [N, 1]; [N, 1] beside [N] would become [N, N].

        Raises:
            UserError: there is not one number for each environment.
        """
        array = np.asarray(as_array(found))
        if array.size != self.num_envs or array.dtype.kind not in "fiub":
            raise UserError(
                f"{self.place}: {name} must be one number for each of "
                f"{self.num_envs} environments, got {array.dtype} of shape {array.shape}"
            )
        return array.reshape(self.num_envs)

    def _flags(self, found: Any, name: str) -> np.ndarray:
        """[N] bool.

        Raises:
            UserError: there is not one for each environment, or another number than 0 and 1.
        """
        array = self._column(found, name)
        if ((array != 0) & (array != 1)).any():
            raise UserError(f"{self.place}: {name} must be True or False, got {array}")
        return array.astype(bool)

    def _reached(self, encoded: np.ndarray, ended: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """[N, ...] the states reached; learns from the first end how episodes begin here.

        Where the state reached is told apart from the observation, the next episode has begun.

        Raises:
            UserError: the next episode has begun and the state reached is not told, or there is not
                one for each environment.
        """
        key = next((key for key in REACHED if key in infos), None)
        if not ended.any() or (key is None and self._mode == AutoresetMode.NEXT_STEP):
            return encoded
        final = encoded.copy()
        told = [None] * self.num_envs if key is None else self._whole(infos, key)
        for env in np.flatnonzero(ended).tolist():
            reached = one_of(told, env)
            if reached is None:
                raise UserError(
                    f"{self.place} starts the next episode in the step that "
                    f"ends one, and infos has no {REACHED[0]!r} with the state reached; make it "
                    "with next-step autoreset, or write env.backend: sync"
                )
            final[env] = self._row(reached)
        if self._mode == AutoresetMode.NEXT_STEP and not np.array_equal(final, encoded):
            self._mode = AutoresetMode.SAME_STEP
            said = "declares next-step autoreset" if self._declared else "declares no autoreset"
            self.events.append(
                f"{self.place} {said}, but starts episodes in the step that "
                "ends one, and is read so"
            )
        return final

    def _encode(self, observations: Any) -> np.ndarray:
        """[N, ...] of our own memory."""
        if self.encoder.is_box:
            array = self._numbers(observations)
            if self.masks:
                whole = np.ones((self.num_envs, *self.encoder.shape), self.encoder.dtype)
                whole[:, : self.encoder.layout.mask_start] = array.reshape(self.num_envs, -1)
                return whole
            return array.reshape(self.num_envs, *self.encoder.shape)
        try:
            rows = [*gym.vector.utils.iterate(self.env.observation_space, observations)]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(
                f"{self.place}: observations must be those of {self.env.observation_space}, got "
                f"{checks.shortened(observations)}"
            ) from error
        return np.stack([self._row(row) for row in rows])

    def _row(self, observation: Any) -> np.ndarray:
        """One environment's observation, encoded.

        Raises:
            UserError: it does not fit its space.
        """
        try:
            return self.encoder.encode(observation)
        except ValueError as error:
            raise UserError(f"{self.place}: {error}") from None

    def _numbers(self, observations: Any) -> np.ndarray:
        """A copy in the encoder's dtype.

        Raises:
            UserError: they are of another shape, or bytes of an image cannot hold them.
        """
        array = np.asarray(as_array(observations))
        shape = (self.num_envs, *(self.observation_space.shape or ()))
        if array.shape != shape or array.dtype.kind not in "fiub":
            raise UserError(
                f"{self.place}: observations must be numbers of shape "
                f"{shape}, got {array.dtype} of shape {array.shape}"
            )
        if self.encoder.dtype == np.uint8 and array.dtype != np.uint8:
            if array.dtype.kind not in "iu" or (array < 0).any() or (array > 255).any():
                raise UserError(
                    f"env.id: {self.env_id}: observations are declared "
                    f"{self.observation_space}, but are {array.dtype} from {array.min()} to "
                    f"{array.max()}"
                )
        return array.astype(self.encoder.dtype)

    def _check(self, reached: np.ndarray, rewards: np.ndarray) -> None:
        numbers = self.encoder.floats(reached)
        flat = np.zeros((self.num_envs, 1)) if numbers is None else numbers
        fine = np.isfinite(rewards) & np.isfinite(flat).all(axis=1)
        if fine.all():
            return
        env = int(np.flatnonzero(~fine)[0])
        raise EnvironmentFault(
            f"environment {self.first_index + env} ({self.env_id}): the observation or the reward "
            f"is not finite: {flat[env].tolist()}, {rewards[env]}; with env.backend: sync "
            "env.on_nonfinite: reset would cut such an episode"
        )

    def _said_at_end(self, infos: dict[str, Any]) -> dict[str, Any]:
        """The infos of the steps that ended an episode."""
        same_step = self._mode == AutoresetMode.SAME_STEP
        said = infos.get("final_info", infos) if same_step else infos
        return said if isinstance(said, dict) else _columns(said)

    def _success(self, infos: dict[str, Any], ended: np.ndarray) -> np.ndarray:
        success, said = np.full(self.num_envs, np.nan, np.float32), self._said_at_end(infos)
        if "is_success" in said:
            found = self._whole(said, "is_success")
            for env in np.flatnonzero(ended & np.asarray(said.get("_is_success", True))):
                place = f"environment {self.first_index + env} ({self.env_id})"
                success[env] = checks.success(partial(str, place), found[env])
        return success


def _mode_of(declared: Any, env_id: str) -> AutoresetMode:
    """What the metadata mean, also where they hold the word and not the member of the enum.

    Raises:
        UserError: they mean nothing that is known.
    """
    word = str(getattr(declared, "value", declared)).replace("_", "").lower()
    for mode in AutoresetMode:
        if mode.value.replace("_", "").lower() == word:
            return mode
    known = ", ".join(mode.value for mode in AutoresetMode)
    raise UserError(
        f"env.backend: vector: {env_id}: metadata['autoreset_mode'] is {declared!r} "
        f"(known: {known})"
    )


def _columns(told: Any) -> dict[str, Any]:
    """Infos as Gymnasium gave them before 1.0, a dict or None for each environment, as arrays."""
    infos = [info if isinstance(info, dict) else {} for info in told]
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for info in infos for name in info):
        column = np.empty(len(infos), object)
        for env, info in enumerate(infos):  # one by one: entries may be arrays
            column[env] = info.get(name, False)
        found[name], found[f"_{name}"] = column, np.array([name in info for info in infos])
    return found
