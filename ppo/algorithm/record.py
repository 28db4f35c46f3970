"""Device tensors of one batch -> one plain record: where all numbers leave the device."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppo.algorithm.health import Numbers
from ppo.algorithm.rollout.collect import Episodes
from ppo.algorithm.update import UpdateTable
from ppo.core.data import Rollout
from ppo.core.errors import UserError
from ppo.core.metrics import DECLARED, clean
from ppo.envs.base import Environments
from ppo.losses.objective import Objective
from ppo.networks.agent import Agent


def to_host(*parts: Numbers) -> dict[str, float]:
    """Scalars by name, in a single transfer."""
    names = [name for part in parts for name in part.names]
    return dict(zip(names, torch.cat([part.values for part in parts]).tolist(), strict=True))


def reduce_table(table: UpdateTable, max_grad_norm: float) -> dict[str, float]:
    """Metrics of all minibatches as one number each, by the reduction that metrics.py declares."""
    rows = table.rows.double().cpu().numpy()
    column = {name: rows[:, i] for i, name in enumerate(table.names)}
    running = column["running"] > 0
    counted = running & (column["taken"] > 0)
    used = counted if counted.any() else np.ones_like(running)
    means, largest = rows[used].mean(0).tolist(), rows[used].max(0).tolist()
    out: dict[str, float] = {}
    for i, name in enumerate(table.names):
        declared = DECLARED.get(name)
        takes_max = declared is not None and declared.reduction == "max"
        out[name] = largest[i] if takes_max else means[i]
    for name in table.names:
        if name.startswith("weight/"):
            out[name] = _mean_weight(column[name][used], column[f"loss/{name[7:]}"][used])
    norms = column["grad_norm"]
    finite = used & np.isfinite(norms)
    out["grad_norm"] = _mean(norms[finite])
    largest = column.get("largest_norm", norms)  # of the groups that are clipped one by one
    out["grad_clip_factor"] = _mean(largest[finite]) / max_grad_norm
    out["grad_clipped_fraction"] = float((largest[used] > max_grad_norm).mean())
    out["skipped_minibatches"] = float((running & (column["taken"] == 0)).sum())
    out["num_minibatches"] = float(running.sum())
    # The minibatch whose KL ended the update took no step, and its KL is what must be seen.
    ran, per_epoch = int(running.sum()), table.steps_per_epoch
    kl = column["approx_kl"][: ran + 1]
    if 0 < ran < len(rows):
        looked = np.append(np.flatnonzero(counted), ran)
        for name in {"approx_kl", "clip_fraction"} & column.keys():
            out[name] = float(column[name][looked].mean())
    out["approx_kl_first_epoch"] = float(kl[:per_epoch].mean())
    out["approx_kl_last_epoch"] = float(kl[-per_epoch:].mean())
    out["ratio_first"] = float(column["ratio_deviation"][0])
    return out


def _mean_weight(weights: np.ndarray, losses: np.ndarray) -> float:
    """What the mean loss must be multiplied by for the mean of the weighted loss."""
    total = losses.sum()
    if (weights == weights[0]).all() or not total > 0:
        return float(weights.mean())
    return float((weights * losses).sum() / total)


def fault_of(values: dict[str, float]) -> str:
    """What makes a batch's update unusable, in words; empty where nothing does."""
    if not values["finite"]:
        return "a parameter is not finite"
    if values["skipped_minibatches"] > 0.5 * values["num_minibatches"]:
        text = "more than half of the gradients are not finite"
        if not math.isfinite(values["return_min"] + values["return_max"]):
            text += (
                ", nor are the returns: rewards are too large for float32 (env.reward_scale), or "
                "the network or a simulator gives NaN"
            )
        return text
    return ""


def derived(values: dict[str, float], agent: Agent) -> dict[str, float]:
    """Figures that follow from others of the same batch."""
    weight, variance = values["weight/value"], values["mean_target_variance"]
    reach = values["critic_reach"] * values["scale_size"]
    gap = max(values["largest_offset"], values["return_std"])
    head, most = agent.value_head, agent.distribution.max_entropy
    found = {
        "value_loss_weight": weight,
        "effective_value_weight": weight * (head.unit / head.loss_unit) ** 2,
        "normalized_value_loss": values["squared_error"] / variance if variance else math.nan,
        "batches_to_reach": gap / reach if reach else math.nan,
    }
    if most:
        found["entropy_relative"] = values["entropy"] / most
    return found


EPISODE_COLUMNS = ("batch", "env", "return", "length", "end")


class EpisodeRows:
    """Finished episodes of one rollout, on the host, as float64 arrays [E] (components [E, K])."""

    def __init__(self, rollout: Rollout, episodes: Episodes) -> None:
        steps, envs = episodes.finished.cpu().numpy().nonzero()
        self.steps, self.envs = steps.tolist(), envs.tolist()

        def chosen(tensor: Tensor) -> np.ndarray:
            return tensor.cpu().numpy()[steps, envs].astype(np.float64)

        self.components = chosen(episodes.returns)
        self.returns = self.components.sum(-1)
        self.lengths = chosen(episodes.lengths)
        self.truncated = chosen(rollout.truncated) > chosen(rollout.terminated)
        self.success = chosen(rollout.success)

    def __len__(self) -> int:
        return len(self.envs)

    def and_then(self, later: EpisodeRows) -> EpisodeRows:
        """These episodes and those of another rollout."""
        both = copy.copy(self)
        both.steps, both.envs = self.steps + later.steps, self.envs + later.envs
        for name in ("components", "returns", "lengths", "truncated", "success"):
            setattr(both, name, np.concatenate([getattr(self, name), getattr(later, name)]))
        return both

    def summary(self, limit: int | None) -> dict[str, float]:
        """Means over the episodes; NaN where there are none."""
        longest = math.inf if limit is None else limit
        return {
            "mean_episode_return": _mean(self.returns),
            "mean_episode_length": _mean(self.lengths),
            "success_rate": _mean(self.success[~np.isnan(self.success)]),
            "timeout_share": _mean(self.truncated),
            "at_limit_share": _mean(self.lengths >= longest),
        }

    def csv_rows(self, batch: int, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Rows for episodes.csv, which the first process writes."""
        return [
            {
                "batch": batch,
                "env": env,
                "return": float(self.returns[i]),
                "length": int(self.lengths[i]),
                "end": "truncated" if bool(self.truncated[i]) else "terminated",
                **{name: float(self.components[i, k]) for k, name in enumerate(names)},
            }
            for i, env in enumerate(self.envs)
        ]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def component_values(
    values: dict[str, float], names: tuple[str, ...], auxiliary: tuple[str, ...]
) -> dict[str, dict[str, float | None]]:
    """The part of a record about each reward component and each auxiliary loss.

    Args:
        values: values of the batch, those of component k as `component_loss/k` and so on.
        names: names of the reward components. auxiliary: names of the losses beside value.
    """
    weight = clean(values["weight/value"])
    out: dict[str, dict[str, float | None]] = {}
    for k, name in enumerate(names):
        variance = values[f"component_target_variance/{k}"]
        error = values[f"component_squared_error/{k}"]
        out[name] = {
            "loss": clean(values[f"component_loss/{k}"]),
            "normalized_loss": clean(error / variance if variance else math.nan),
            "weight": weight,
            "explained_variance": clean(values[f"component_explained_variance/{k}"]),
        }
    for j, name in enumerate(auxiliary, 1):
        loss, variance = values[f"loss/{name}"], values[f"target_variance/{j}"]
        share = loss / variance if variance else math.nan
        out[name] = {
            "loss": clean(loss),
            "normalized_loss": clean(share),
            "weight": clean(values[f"weight/{name}"]),
            "explained_variance": clean(1.0 - share),
        }
    return out


def make_record(
    values: dict[str, float], components: dict[str, dict[str, float | None]], events: list[str]
) -> dict[str, Any]:
    """A record in declared order; what was not measured is null."""
    counters = ("batch", "env_steps", "episodes")
    record: dict[str, Any] = {}
    for name in DECLARED:
        value = clean(values.get(name, math.nan))
        record[name] = int(value) if name in counters and value is not None else value
    record["components"] = components
    record["events"] = events
    return record


class Recorder:
    """Makes the record of a batch from all that was measured of it.

    Args:
        objective: whose losses and parts give the figures their names and units.
        envs: name the reward components and the longest episode.

    Raises:
        UserError: a reward component bears the name of something else.
    """

    def __init__(self, objective: Objective, envs: Environments) -> None:
        self.objective, self.envs = objective, envs
        self.auxiliary = tuple(loss.name for loss in objective.balanced_losses[1:])
        for name in envs.component_names:
            what = "an auxiliary loss" if name in self.auxiliary else "a column of episodes.csv"
            if name in (*self.auxiliary, *EPISODE_COLUMNS):
                raise UserError(
                    f"env.id: the reward component {name!r} has the name of {what}; rename it in "
                    "info['reward_components']"
                )

    def __call__(
        self, values: dict[str, float], finished: EpisodeRows, counters: dict[str, int]
    ) -> dict[str, Any]:
        """The record.

        Args:
            values: values of the batch. finished: its episodes. counters: counters of the run.
        """
        values = values | finished.summary(self.envs.max_episode_steps) | counters
        values |= derived(values, self.objective.agent)
        if counters["batch"] == 0:
            values["return_drift"] = math.nan
        parts = component_values(values, self.envs.component_names, self.auxiliary)
        skipped = int(values["skipped_minibatches"])
        events = [f"{skipped} minibatches skipped: gradient not finite"] if skipped else []
        return make_record(values, parts, events)
