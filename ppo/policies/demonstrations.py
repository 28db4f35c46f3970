"""Demonstrations: observations and actions that a policy can learn from, checked as they are read.

docs/demonstrations.md describes the fields of their files, formats.py reads and writes these.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from ppo.core.errors import UserError
from ppo.envs.entries import choices
from ppo.envs.observations import ObservationEncoder
from ppo.policies import formats
from ppo.policies.formats import Raw
from ppo.runs import files

ENDS = ("episode_ends", "ends", "dones", "terminals", "timeouts", "terminations", "truncations")
MASKS = ("masks", "mask")
TOLERANCE = 1e-3  # share of an action's range that actions may lie beyond their bounds


class Demonstrations(NamedTuple):
    """B steps of whole episodes, one after the other."""

    obs: np.ndarray  # [B, D] float32, as environments hand them to the policy
    actions: np.ndarray  # [B, A] in the environment's units: float32, or int64 choices
    ends: np.ndarray  # [B] bool: the last step of its episode
    rewards: np.ndarray | None = None  # [B] float64, where the file has them

    @property
    def num_episodes(self) -> int:
        return int(self.ends.sum())


def read(
    path: str | Path,
    observation_space: gym.Space,
    action_space: gym.Space,
    precise: Sequence[str] = (),
) -> Demonstrations:
    """The demonstrations in a file, checked against the environment's spaces.

    Args:
        precise: entries of observations whose remainders are kept (`env.double_precision`).

    Raises:
        UserError: the file cannot be read, lacks a field, or does not fit the environment.
    """
    path = Path(path)
    raw = _flat_rows(formats.load(path), path)
    try:
        obs = _observations(raw["observations"], observation_space, precise)
        actions = _actions(raw["actions"], action_space)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if len(obs) != len(actions):
        raise UserError(f"{path}: {len(obs)} observations but {len(actions)} actions")
    if not len(obs):
        raise UserError(f"{path}: no steps in it")
    rewards = raw.get("rewards")
    if rewards is not None:
        if rewards.size != len(rewards):
            raise UserError(f"{path}: rewards: one number a step is needed, not {rewards.shape}")
        rewards = rewards.reshape(-1).astype(np.float64)
    return Demonstrations(obs, actions, raw["ends"], rewards)


def write(path: str | Path, demonstrations: Demonstrations) -> None:
    """Writes .npz, .safetensors, .hdf5 or .h5, as a whole or not at all.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    path = Path(path)
    arrays: Raw = {
        "observations": demonstrations.obs,
        "actions": demonstrations.actions,
        "episode_ends": demonstrations.ends,
    }
    if demonstrations.rewards is not None:
        arrays["rewards"] = demonstrations.rewards
    try:
        files.atomic_write(path, formats.writer_of(path)(arrays))
    except OSError as error:
        raise UserError(f"--data {path}: cannot be written ({files.reason(error)})") from None


def check_name(path: str | Path) -> None:
    """Refuses a name that `write` could not use, before any work is done."""
    path = Path(path)
    formats.writer_of(path)
    if not path.absolute().parent.is_dir():
        raise UserError(f"--data {path}: there is no folder {path.absolute().parent}")


def episodes(demonstrations: Demonstrations) -> Iterator[slice]:
    """The steps of each episode."""
    stops = np.flatnonzero(demonstrations.ends) + 1
    return itertools.starmap(slice, itertools.pairwise([0, *stops.tolist()]))


# ---- from the file's arrays to rows


def _flat_rows(parts: list[Raw], path: Path) -> Raw:
    rows = [_one_part(part, path) for part in parts]
    together = {
        name: np.concatenate([row[name] for row in rows])
        for name in rows[0]
        if all(name in row for row in rows)
    }
    together["ends"][-1:] = True
    return together


def _one_part(raw: Mapping[str, np.ndarray], path: Path) -> Raw:
    """Arrays [B, ...] or [E, T, ...] as rows, without the steps that a mask leaves out."""
    for name in ("observations", "actions"):
        if name not in raw:
            known = ", ".join(sorted(raw)) or "nothing"
            raise UserError(f"{path}: no field {name!r} (the file has: {known})")
    out = {name: raw[name] for name in ("observations", "actions", "rewards") if name in raw}
    if "rewards" in out and out["rewards"].dtype.kind not in "fiub":
        raise UserError(f"{path}: rewards: numbers are needed, not {out['rewards'].dtype}")
    mask = next((raw[name].astype(bool) for name in MASKS if name in raw), None)
    ends = [_ends(raw[name], f"{path}: {name}", out["actions"]) for name in ENDS if name in raw]
    shapes = {name: array.shape for name, array in out.items()}
    lead = mask.ndim if mask is not None else ends[0].ndim if ends else 1
    size = out["actions"].shape[:lead]
    for array in [*out.values(), *ends, *([] if mask is None else [mask])]:
        if array.shape[:lead] != size:
            raise UserError(f"{path}: fields of unequal length: {shapes}")
    end = np.logical_or.reduce(ends) if ends else np.zeros(size, bool)
    if lead == 2:
        end[:, -1] = True
    out["ends"] = end
    out = {name: array.reshape(-1, *array.shape[lead:]) for name, array in out.items()}
    return out if mask is None else _without_masked(out, mask)


def _ends(array: np.ndarray, where: str, actions: np.ndarray) -> np.ndarray:
    """[B] or [E, T] bool; of steps one by one [B, 1] will do."""
    _finite(where, array)
    is_column = array.shape[1:] == (1,) != actions.shape[1:2]
    return array.reshape(-1 if is_column else array.shape).astype(bool)


def _without_masked(rows: Raw, mask: np.ndarray) -> Raw:
    """An episode whose last step is masked ends at its last step that is not."""
    keep = mask.reshape(-1)
    episode = np.concatenate([[0], np.cumsum(rows["ends"])[:-1]])[keep]
    kept = {name: array[keep] for name, array in rows.items()}
    kept["ends"] = np.append(episode[1:] != episode[:-1], True)[: len(episode)]
    return kept


# ---- against the environment


def _finite(name: str, rows: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        as_learned = rows.astype(np.float32) if rows.dtype.kind == "f" else rows
    if rows.dtype.kind == "f" and rows.ndim and not np.isfinite(as_learned).all():
        bad = np.flatnonzero(~np.isfinite(as_learned.reshape(len(rows), -1)).all(1))
        raise UserError(
            f"{name}: {len(bad)} rows are not finite numbers as float32 (the first: row {bad[0]})"
        )
    if rows.dtype.kind not in "fiub":
        raise UserError(f"{name}: numbers are needed, not {rows.dtype}")


def _observations(rows: np.ndarray, space: gym.Space, precise: Sequence[str]) -> np.ndarray:
    _finite("observations", rows)
    encoder = ObservationEncoder(space, "the environment")
    if precise and len(rows) and rows[0].size == encoder.layout.num_floats:
        encoder = ObservationEncoder(space, "the environment", precise=precise)
        return encoder.rows_of(rows.reshape(len(rows), -1))
    if rows.shape[1:] == tuple(encoder.shape):
        return rows.astype(encoder.dtype)
    if isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        whole = rows.astype(np.int64)
        if (whole != rows).any():
            raise UserError(f"observations: whole numbers are needed for {space}")
        try:
            return np.stack([encoder.encode(row) for row in whole])
        except ValueError as error:
            raise UserError(str(error)) from None
    size = int(np.prod(encoder.shape))
    if len(rows) and rows[0].size == size:
        return rows.reshape(-1, *encoder.shape).astype(encoder.dtype)
    raise UserError(
        f"observations: {list(rows.shape[1:])} entries a step, but the environment's have "
        f"{list(encoder.shape)} (env.id is the environment that they were made in)"
    )


def _actions(rows: np.ndarray, space: gym.Space) -> np.ndarray:
    _finite("actions", rows)
    if isinstance(space, gym.spaces.Box):
        size = int(np.prod(space.shape))
        if len(rows) and rows[0].size != size:
            raise UserError(
                f"actions: {rows[0].size} entries a step, but the environment's have {size}"
            )
        flat = rows.reshape(len(rows), size).astype(np.float32)
        _in_bounds(flat, space)
        return flat
    sizes, starts = choices(space)
    if not sizes:  # MultiBinary: every entry is 0 or 1
        sizes = [2] * int(np.prod(space.shape or (1,)))
        starts = [0] * len(sizes)
    flat = rows.reshape(len(rows), -1)
    if flat.shape[1] != len(sizes):
        raise UserError(f"actions: {flat.shape[1]} entries a step, not {len(sizes)}")
    first, last = np.array(starts), np.array(starts) + sizes - 1
    taken = flat.astype(np.int64)
    if (taken != flat).any() or (taken < first).any() or (taken > last).any():
        raise UserError(
            f"actions: whole numbers from {starts} to {last.tolist()} are needed, not "
            f"{flat.min():.4g} .. {flat.max():.4g}"
        )
    return taken


def _in_bounds(rows: np.ndarray, space: gym.spaces.Box) -> None:
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    finite = np.isfinite(low) & np.isfinite(high)
    width = np.where(finite, high - low, 1.0) * TOLERANCE
    outside = ((rows < low - width) | (rows > high + width)).any(1)
    if outside.any():
        raise UserError(
            f"actions: {outside.mean():.1%} lie outside the environment's bounds ({rows.min():.4g} "
            f".. {rows.max():.4g}, allowed {low.min():.4g} .. {high.max():.4g}); give them in the "
            "environment's own units, clipped to its bounds"
        )
