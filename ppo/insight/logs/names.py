"""Tags of unknown writers: in any case and spelling, behind prefixes, of any algorithm."""

from __future__ import annotations

import functools
import re

import numpy as np

from ppo.core.metrics import METRICS
from ppo.insight.logs.columns import EPISODES, MOST_BINS, entropy_relative, fill, root_error, start
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.logs.series import Series

# Ours -> words of others, the better first; compared without case, spaces and signs.
ALIASES = {
    "value_loss": "vf_loss critic_loss v_loss value_function_loss loss_critic loss_value loss_vf "
    "loss_vf_loss",
    "policy_loss": "pg_loss actor_loss policy_gradient_loss surrogate_loss loss_objective "
    "loss_actor loss_policy loss_pi loss_pol_surr",
    "approx_kl": "kl mean_kl kl_div kl_divergence kl_mean kl_approx approximate_kullback_leibler "
    "mean_kl_loss loss_kl",
    "clip_fraction": "clipfrac clip_frac clip_factor fraction_clipped clipped_fraction",
    "explained_variance": "vf_explained_var ev explained_var exp_var var_explained ev_tdlam_before",
    "entropy": "policy_entropy mean_entropy loss_ent",
    "mean_episode_return": "ep_rew_mean ep_reward_mean episode_reward_mean eprewmean "
    "episodic_return episode_return episode_return_mean episodic_reward episode_reward "
    "mean_episode_reward average_episode_return average_episode_reward avg_episode_return "
    "avg_episode_reward returned_episode_return "
    "return_ep average_return undiscounted_return mean_return avg_reward mean_reward "
    "average_reward avg_return return reward average_score avg_score mean_score score",
    "mean_episode_length": "ep_len_mean eplenmean episode_len_mean episodic_length episode_length "
    "average_episode_length avg_episode_length returned_episode_length mean_length average_length "
    "avg_length ep_len",
    "learning_rate": "lr cur_lr actual_lr last_lr",
    "policy_std": "std action_std mean_std mean_noise_std",
    "grad_norm": "gn gradient_norm grad_gnorm",
    "env_steps": "global_step timesteps_total total_timesteps num_env_steps total_env_steps",
    "success_rate": "success is_success",
    "steps_per_second": "sps fps",
}
ROUGH = ("reward", "return")  # may as well be that of a step, or of a batch
# Leaves that an algorithm other than PPO writes.
OTHERS = (
    (r"q|qf\d?|qfunction|td|critic[12]|q[12]|qvalue|bellman", r"loss|error", "DQN, SAC or TD3"),
    (r"mean|avg|max", r"q|qvalue|qvalues", "DQN, SAC or TD3"),
    (r"exploration", r"rate", "DQN"),
    (r"epsilon|eps", r"", "DQN"),
    (r"alpha|entcoef|temperature|temp", r"loss", "SAC"),
    (r"model|world|reconstruction|dynamics", r"modelloss|loss", "a model-based algorithm"),
)
OF_PPO = ("clip_fraction", "approx_kl")
# Of the training of a language model, whose KL is one to a reference and summed over tokens.
OF_TEXT = r"objective/(kl|rlhf_reward|scores)|(response|completion)_?length|completions/|tokens/"
OF_UPDATES = (
    "approx_kl", "clip_fraction", "explained_variance", "value_loss", "policy_loss", "entropy",
)  # fmt: skip
SETTINGS = ("learning_rate", "entropy_coefficient", "value_loss_weight", "clip_range", "gamma")
DERIVED = ("value_rmse", "evaluation_return", "clip_range")  # by readers, of what rules ask for
OF_EPISODES = ("mean_episode_return", "mean_episode_length", "success_rate")
EPISODE = ("episode", "episodes", "ep", "episodenumber", "game")  # axes that count single episodes
PREFIXES = 4  # levels in front of all tags that are taken off


def leaf(tag: str) -> str:
    """The last part of a tag, without case and without what is neither letter nor digit, nor over
    how many episodes a mean is."""
    word = re.sub(r"[^a-z0-9]", "", tag.rsplit("/", 1)[-1].lower())
    word = re.sub(r"(?<=.)(last|over)?(10|20|50|100)(eps?|episodes?)?$", "", word)
    return re.sub(r"^(training|train|rollout)(?=.)", "", word)


@functools.cache
def _words() -> dict[str, tuple[str, int]]:
    """Every known leaf: what it is called here, and its rank among the words for that."""
    figures = [metric.name for metric in METRICS] + [*DERIVED]
    words = {leaf(name): (name, 0) for name in figures}
    for name, aliases in ALIASES.items():
        for rank, word in enumerate(aliases.split(), 1):
            words.setdefault(leaf(word), (name, rank))
    return words


def is_figure(tag: str) -> bool:
    """Whether a tag has a well-known word for a figure, and not for steps or a setting."""
    return meaning(tag) not in ("", "env_steps", *SETTINGS)


def by_name(series: Series) -> MetricsLog:
    """Whatever has a name of the contract, or a well-known one."""
    meant = {tag: _words()[word] for tag in series.points if (word := _word(tag))}
    known = sorted(meant, key=lambda tag: (_of_evaluation(tag), meant[tag][1], len(tag), tag))
    chosen: dict[str, str] = {}
    for tag in known:
        if (name := meant[tag][0]) not in chosen.values():
            chosen[tag] = name
    log = _of_updates(series, chosen) or _of_single_episodes(series, chosen)
    if log is None:
        log, steps = start(series, *chosen)
        fill(log, series, steps, chosen)
    _evaluated(log, series, meant, chosen)
    rough = [t for t, n in chosen.items() if n == "mean_episode_return" and leaf(t) in ROUGH]
    if rough:
        log.notes.append(f"{rough[0]} is taken for the return of an episode")
    if "value_loss" in log.columns and not log.has("value_rmse"):
        root_error(log)
        log.notes.append("value_loss is taken for (v - R)^2 in reward units: its unit is not known")
    if not any(log.has(name) for name in OF_PPO):
        log.algorithm = other_algorithm(series) or log.algorithm
    if any(re.search(OF_TEXT, tag) for tag in series.points):
        log.algorithm = "RLHF (a language model)"
    if not set(chosen.values()) - {"mean_episode_return", "mean_episode_length", "env_steps"}:
        log.notes.append("returns alone: whether it was PPO that wrote them is not known")
    entropy_relative(log)
    return log


def _word(tag: str) -> str:
    """The known leaf of a tag, with or without a mean at its end, of one or of many; empty where
    there is none."""
    whole = leaf(tag)
    forms = [whole, re.sub("(mean|avg)$", "", whole)]
    forms += [re.sub("(?<=[^s])s$|(?<=ss)es$", "", re.sub("ies$", "y", form)) for form in forms]
    return next((form for form in forms if form in _words()), "")


def meaning(tag: str) -> str:
    """What a figure is called here; empty where its tag has no well-known word."""
    return _words().get(_word(tag), ("", 0))[0]


def _evaluated(
    log: MetricsLog, series: Series, meant: dict[str, tuple[str, int]], chosen: dict[str, str]
) -> None:
    """The return of evaluations beside that of training, where the axis is the same."""
    known = [t for t, (name, _) in meant.items() if name == "mean_episode_return"]
    tag = next((t for t in sorted(known, key=len) if _of_evaluation(t) and t not in chosen), None)
    if tag and log.has("env_steps"):
        column = series.mean_between(tag, log.get("env_steps"))[0]
        if np.isfinite(column).any():
            log.columns["evaluation_return"] = column


def _of_updates(series: Series, chosen: dict[str, str]) -> MetricsLog | None:
    """Rows of updates, where episodes are logged as they end, between the updates; else None."""
    updates = [tag for tag, name in chosen.items() if name in OF_UPDATES]
    episodes = [tag for tag, name in chosen.items() if name in OF_EPISODES]
    if not updates or not episodes:
        return None
    log, steps = start(series, *updates)
    ends = series.points[episodes[0]][:, 0]
    reach = ends[-1] / steps[-1] if steps[-1] > 0 else 0.0
    apart = float(np.isin(ends, steps).mean()) < 0.5
    if not apart or len(ends) < len(steps) or not 0.8 < reach < 1.25:
        return None
    fill(log, series, steps, {tag: name for tag, name in chosen.items() if tag not in episodes})
    for tag in episodes:
        log.columns[chosen[tag]] = series.mean_between(tag, steps)[0]
    return log


def _of_single_episodes(series: Series, chosen: dict[str, str]) -> MetricsLog | None:
    """Parts of equal length of a log that has a row for each episode; else None."""
    counts = [series.points[tag][:, 1] for tag in series.points if leaf(tag) in EPISODE]
    single = any(len(c) > 1 and float(np.median(np.diff(c))) == 1.0 for c in counts)
    if not single or set(chosen.values()) & set(OF_UPDATES):
        return None
    returns = {tag: name for tag, name in chosen.items() if name in OF_EPISODES}
    return in_parts(series, returns) if returns else None


def in_parts(series: Series, names: dict[str, str]) -> MetricsLog:
    """Figures of single episodes, as means over at most MOST_BINS parts of equal numbers."""
    count = max(len(series.points[tag]) for tag in names)
    parts = max(min(count // EPISODES, MOST_BINS), 1)
    log = MetricsLog(batches=np.arange(parts, dtype=np.int64))
    for tag, name in names.items():
        log.columns[name] = np.array([np.mean(p) for p in _cut(series.points[tag][:, 1], parts)])
        series.used.add(tag)
    axis = next(series.points[tag][:, 0] for tag in names)
    if not series.counted:
        log.columns["env_steps"] = np.array([p[-1] for p in _cut(axis, parts)])
    log.notes.append(f"{count} episodes in {parts} parts of equal length, taken for batches")
    return log


def _cut(column: Column, parts: int) -> list[Column]:
    return np.array_split(column, min(parts, len(column)))


def _of_evaluation(tag: str) -> bool:
    """Whether a figure is that of an evaluation, which stands for training's only without one."""
    return bool(re.search(r"(?i)\b(eval|test)|evaluation", tag))


def other_algorithm(series: Series) -> str:
    """Which algorithm other than PPO the tags give away; empty where none does."""
    leaves = {leaf(tag) for tag in series.points}
    for first, second, name in OTHERS:
        if any(re.fullmatch(f"({first})({second})", word) for word in leaves):
            return name
    return ""


def tidy(series: Series) -> Series:
    """Names without a byte order mark, without spaces around them, and as they were logged.

    A table that Weights & Biases exports has `run - tag`, with the extremes beside each.
    """
    names = {tag: tag.replace("\ufeff", "").strip() for tag in series.points}
    runs = {tag: match for tag in names if (match := re.fullmatch(r"(.+?) - (.+)", names[tag]))}
    if runs and len(runs) >= len(names) - 2:
        first = next(iter(runs.values()))[1]
        others = {match[1] for match in runs.values()} - {first}
        if others:
            series.notes.append(f"several runs in one table; {first} was read")
        kept = {tag: match[2] for tag, match in runs.items() if match[1] == first}
        names = {tag: name for tag, name in kept.items() if not re.search(r"__(MIN|MAX)$", name)}
    series.points = {name: series.points[tag] for tag, name in names.items()}
    return series


def without_prefix(series: Series) -> Series | None:
    """The series without the folder that all its tags share; None where they share none."""
    heads = {tag.split("/", 1)[0] for tag in series.points if "/" in tag}
    if len(heads) != 1 or any("/" not in tag for tag in series.points):
        return None
    points = {tag.split("/", 1)[1]: values for tag, values in series.points.items()}
    texts = {key.split("/", 1)[-1]: text for key, text in series.texts.items()}
    notes = [*series.notes, f"the tags' common prefix {heads.pop()}/ is left out"]
    return Series(
        points, {**series.texts, **texts}, notes, series.files, series.runs, series.counted
    )


def scalar_files(tables: dict[str, Series]) -> Series | None:
    """Tables without a head, each the steps and values of one figure, as one log (TorchRL's)."""
    points = {}
    for name, series in tables.items():
        tags = list(series.points)
        if len(tags) != 2 or not all(re.fullmatch(r"-?[\d.eE+-]+", tag) for tag in tags):
            return None
        head = np.array([[float(tags[0]), float(tags[1])]])
        columns = [series.points[tag][:, 1] for tag in tags]
        if len(columns[0]) != len(columns[1]):
            return None
        points[name] = np.concatenate([head, np.stack(columns, axis=1)])
    return Series(points) if points else None
