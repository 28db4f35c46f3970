"""Device tensors of one batch -> one plain record: the only place where numbers leave the device."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ppo.collect import Episodes
from ppo.data import Rollout
from ppo.metrics import DECLARED, clean
from ppo.update import UpdateTable


def to_host(tensors: dict[str, Tensor]) -> dict[str, float]:
    """Scalars of one dict in a single transfer."""
    if not tensors:
        return {}
    flat = torch.stack(
        [
            value.detach().double().reshape(()).cpu()
            if value.device.type == "cpu"
            else value.detach().double().reshape(())
            for value in tensors.values()
        ]
    )
    return dict(zip(tensors, flat.tolist(), strict=True))


def reduce_table(table: UpdateTable, max_grad_norm: float) -> dict[str, float]:
    """Metrics of all minibatches as one number each, by the reduction that metrics.py declares."""
    rows = table.rows.double().cpu()
    column = {name: rows[:, i] for i, name in enumerate(table.names)}
    running = column["running"] > 0
    counted = running & (column["taken"] > 0)
    used = counted if bool(counted.any()) else torch.ones_like(running)
    out: dict[str, float] = {}
    for name, values in column.items():
        declared = DECLARED.get(name)
        if declared is not None and declared.reduction == "max":
            out[name] = float(values[used].max())
        else:
            out[name] = float(values[used].mean())
    for name in column:
        if name.startswith("weight/"):
            out[name] = _mean_weight(column[name][used], column[f"loss/{name[7:]}"][used])
    norms = column["grad_norm"]
    finite = used & torch.isfinite(norms)
    out["grad_norm"] = float(norms[finite].mean()) if bool(finite.any()) else math.nan
    out["grad_clip_factor"] = out["grad_norm"] / max_grad_norm
    out["grad_clipped_fraction"] = float((norms[used] > max_grad_norm).double().mean())
    out["skipped_minibatches"] = float((running & (column["taken"] == 0)).sum())
    out["num_minibatches"] = float(running.sum())
    kl, per_epoch = column["approx_kl"], table.steps_per_epoch
    last = int(running.sum()) or 1
    out["approx_kl_first_epoch"] = float(kl[:per_epoch].mean())
    out["approx_kl_last_epoch"] = float(kl[max(0, last - per_epoch) : last].mean())
    out["ratio_first"] = float(column["ratio_deviation"][0])
    return out


def _mean_weight(weights: Tensor, losses: Tensor) -> float:
    """What the mean loss must be multiplied by for the mean of the weighted loss."""
    total = losses.sum()
    if bool((weights == weights[0]).all()) or not bool(total > 0):
        return float(weights.mean())
    return float((weights * losses).sum() / total)


class EpisodeRows:
    """Finished episodes of one rollout, on the host."""

    def __init__(self, rollout: Rollout, episodes: Episodes) -> None:
        finished = episodes.finished.cpu()
        self.steps, self.envs = (index.tolist() for index in finished.nonzero(as_tuple=True))
        self.components = episodes.returns.cpu()[finished].double()
        self.returns = self.components.sum(-1)
        self.lengths = episodes.lengths.cpu()[finished].double()
        self.truncated = (rollout.truncated & ~rollout.terminated).cpu()[finished]
        self.success = rollout.success.cpu()[finished].double()

    def __len__(self) -> int:
        return len(self.envs)

    def summary(self, limit: int | None) -> dict[str, float]:
        """Means over the episodes; NaN where there are none."""
        if not len(self):
            names = (
                "mean_episode_return",
                "mean_episode_length",
                "success_rate",
                "timeout_share",
                "at_limit_share",
            )
            return dict.fromkeys(names, math.nan)
        known = self.success[~self.success.isnan()]
        longest = float("inf") if limit is None else limit
        return {
            "mean_episode_return": float(self.returns.mean()),
            "mean_episode_length": float(self.lengths.mean()),
            "success_rate": float(known.mean()) if known.numel() else math.nan,
            "timeout_share": float(self.truncated.double().mean()),
            "at_limit_share": float((self.lengths >= longest).double().mean()),
        }

    def csv_rows(
        self, batch: int, names: tuple[str, ...], first_env: int = 0
    ) -> list[dict[str, Any]]:
        """Rows for episodes.csv."""
        return [
            {
                "batch": batch,
                "env": env + first_env,
                "return": float(self.returns[i]),
                "length": int(self.lengths[i]),
                "end": "truncated" if bool(self.truncated[i]) else "terminated",
                **{name: float(self.components[i, k]) for k, name in enumerate(names)},
            }
            for i, env in enumerate(self.envs)
        ]


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
