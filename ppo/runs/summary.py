"""A run's own account: its end in words, and at its start the settings that are new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ppo.config import Config
from ppo.config.file import text_of
from ppo.core.errors import UserError
from ppo.core.figures import number
from ppo.core.metrics import clean
from ppo.runs.folder import RunFolder
from ppo.runs.names import run_names

RECENT_EPISODES = 100  # whose mean return is a run's final one


class Former(NamedTuple):
    """Settings that a run had before it was resumed (None: unknown), and what differs from them."""

    config: Config | None
    changes: list[str]


def which_episodes(summary: Mapping[str, Any]) -> str:
    """The episodes whose mean is `final_return`, in words."""
    count = summary.get("episodes") or 0
    if 0 < count <= RECENT_EPISODES:
        return "one episode of training" if count == 1 else f"the {count} episodes of training"
    of = f" of {count:,}" if count else ""
    return f"the last {RECENT_EPISODES}{of} episodes of training"


def best_evaluation(summary: Mapping[str, Any], deterministic: bool) -> str:
    """The best evaluation in words, beside the training where that is better; empty: none.

    Args:
        deterministic: whether evaluations play the policy without its noise.
    """
    best = summary.get("best_evaluation") or {}
    mean, high = clean(best.get("mean_return")), clean((best.get("ci95") or (None, None))[1])
    if mean is None:
        return ""
    low = clean((summary.get("final_return_ci95") or (None, None))[0])
    how = ", of the policy without its noise" if deterministic else ""
    episodes, batch = best.get("episodes"), best.get("batch")
    over = f" over {episodes} episode{'' if episodes == 1 else 's'}" if episodes is not None else ""
    at = f", after {batch} batch{'' if batch == 1 else 'es'}" if batch is not None else ""
    worse = deterministic and low is not None and high is not None and high < low
    advice = "; worse than with it: evaluation.deterministic=false plays as in training"
    return f"{number(mean)}{over}{how}{at}{advice if worse else ''}"


def changed_settings(config: Config, folder: RunFolder) -> dict[str, Any]:
    """The settings that differ from those of the run before this one."""
    results = folder.path.parent
    names = run_names(results)  # by their numbers
    earlier = names[: names.index(folder.name)] if folder.name in names else []
    if not earlier:
        return {}
    try:
        before = Config.load_run(results / earlier[-1] / "config.yaml")[0].to_dict()
    except UserError:  # written by another version: nothing to compare with
        return {}
    changes = changes_between(before, config.to_dict())
    return {"previous": earlier[-1], "differs": changes} if changes else {}


def keep_former_settings(config: Config, folder: RunFolder, batch: int) -> Former:
    """Before a run goes on with other settings at `batch`: what differs from its config.yaml.

    The former file is kept as config.batchNNNN.yaml. Of several at one batch the first has trained
    the batches before it.
    """
    path = folder.path / "config.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return Former(None, [])
    former: Config | None = None
    changes = ["settings other than the former ones, which this version cannot read"]
    try:
        former = Config.load_run(path)[0]
        changes = changes_between(former.to_dict(), config.to_dict())
    except UserError:
        pass
    name = f"config.batch{batch:04d}.yaml"
    if changes and not (folder.path / name).exists():
        folder.write_text(name, text)
    return Former(former, changes)


def changes_between(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The settings of `now` that `before` has otherwise, each as `key before -> now`.

    Which of them were `auto` is no setting: what was chosen for them is compared.
    """
    return [
        f"{section}.{key} {text_of(before[section].get(key))} -> {text_of(value)}"
        for section, values in now.items()
        if section != "auto"
        for key, value in values.items()
        if before[section].get(key) != value
    ]
