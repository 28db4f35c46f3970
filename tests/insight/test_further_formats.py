"""Logs of Brax, TorchRL, Sample Factory, PufferLib, Tianshou 2, single charts, single episodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from foreign_logs import STEPS, rising, tags
from insight_runs import event_file

from ppo.insight.doctor import diagnose, report, status
from ppo.insight.logs import read_log


def table(file: Path, columns: dict[str, object]) -> Path:
    """A table of STEPS and columns."""
    points = tags(**columns)
    rows = [[str(points[name][i][1]) for name in columns] for i in range(len(STEPS))]
    lines = [",".join(["Step", *columns])]
    lines += [",".join([str(step), *row]) for step, row in zip(STEPS, rows, strict=True)]
    file.write_text("\n".join(lines) + "\n")
    return file


BRAX = {
    "eval/episode_reward": rising,
    "eval/episode_reward_std": 9.0,
    "eval/avg_episode_length": 1000.0,
    "training/kl_mean": 0.01,
    "training/v_loss": 1e3,  # of rewards that were scaled
    "training/entropy_loss": -0.01,
}
TORCHRL = {
    "train/reward": rising,
    "train/loss_critic": 900.0,
    "train/loss_objective": -0.01,
    "train/loss_entropy": -0.03,
    "train/kl_approx": 0.01,
    "train/lr": 3e-4,
}
SAMPLE_FACTORY = {
    "reward/reward": rising,
    "train/kl_divergence": 0.01,
    "train/fraction_clipped": 0.1,
    "train/value_loss": 0.3,
    "train/lr": 1e-4,
    "train/actual_lr": 3e-4,
}
PUFFERLIB = {
    "environment/episode_return": rising,
    "environment/score": 0.1,
    "losses/value_loss": 2.0,
    "losses/old_approx_kl": 0.0,
    "losses/approx_kl": 0.01,
    "learning_rate": 3e-4,
}
TIANSHOU = {"training/returns_stat/mean": rising, "training/lens_stat/mean": 50.0}


@pytest.mark.parametrize(
    ("writer", "written", "column", "value"),
    [
        ("brax", BRAX, "approx_kl", 0.01),
        ("brax", BRAX, "mean_episode_length", 1000.0),
        ("torchrl", TORCHRL, "policy_loss", -0.01),
        ("torchrl", TORCHRL, "learning_rate", 3e-4),
        ("sample-factory", SAMPLE_FACTORY, "clip_fraction", 0.1),
        ("sample-factory", SAMPLE_FACTORY, "learning_rate", 3e-4),
        ("pufferlib", PUFFERLIB, "value_rmse", 2.0),
        ("pufferlib", PUFFERLIB, "learning_rate", 3e-4),
        ("tianshou", TIANSHOU, "mean_episode_length", 50.0),
    ],
)
def test_figures_stand_under_the_names_that_their_library_gives_them(
    tmp_path: Path, writer: str, written: dict, column: str, value: float
) -> None:
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", tags(**written)))
    assert log.writer == writer and log.get(column)[0] == pytest.approx(value)
    assert log.get("mean_episode_return")[-1] == pytest.approx(rising(39), rel=1e-5)
    assert status(log, diagnose(log)) == "healthy"


def test_the_names_of_the_first_baselines_are_known(tmp_path: Path) -> None:
    """OpenAI Baselines' PPO1, and what grew out of it."""
    same = {"loss_kl": 0.01, "loss_vf_loss": 4.0, "loss_ent": 1.1, "loss_pol_surr": -0.1}
    rows = [
        {"TimestepsSoFar": step, "EpRewMean": rising(i), "ev_tdlam_before": 0.5, **same}
        for i, step in enumerate(STEPS)
    ]
    (tmp_path / "progress.json").write_text("\n".join(map(json.dumps, rows)))
    log = read_log(tmp_path / "progress.json")
    assert not log.unknown_tags and log.get("env_steps").tolist() == STEPS
    assert [log.get(n)[0] for n in ("approx_kl", "value_loss", "entropy")] == [0.01, 4.0, 1.1]


@pytest.mark.parametrize(
    ("written", "words"),
    [(BRAX, "num_updates_per_batch"), (TORCHRL, "loss.ppo_epochs"),
     (SAMPLE_FACTORY, "num_epochs"), (PUFFERLIB, "update_epochs")],
)  # fmt: skip
def test_advice_names_settings_that_the_library_has(
    tmp_path: Path, written: dict, words: str
) -> None:
    kl = next(tag for tag in written if "kl" in tag and "old" not in tag)
    reward = next(iter(written))
    hot = {**written, kl: 0.9, reward: lambda i: 30.0 - i}
    (found, *_) = diagnose(read_log(event_file(tmp_path / "events.out.tfevents.1", tags(**hot))))
    assert found.illness == "learning_rate_too_high"
    assert words in found.remedy and "target_kl" not in found.remedy


@pytest.mark.parametrize("tag", ["losses/c1_loss", "losses/alpha_loss"])
def test_the_sac_of_rl_games_is_no_ppo(tmp_path: Path, tag: str) -> None:
    written = {"losses/a_loss": 0.1, "rewards/step": rising, tag: 0.5}
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", tags(**written)))
    assert log.algorithm == "SAC" and status(log, diagnose(log)) == "not_read"


@pytest.mark.parametrize(
    ("loss", "reward", "writer"),
    [("losses/c_loss", "rewards/step", "rl_games"),
     ("Loss / Value loss", "Reward / Total reward (mean)", "skrl")],
)  # fmt: skip
def test_a_value_loss_too_large_for_normalized_returns_is_one_of_raw_returns(
    tmp_path: Path, loss: str, reward: str, writer: str
) -> None:
    for first, raw in ((5900.0, True), (1.9, False)):
        written = tags(**{loss: lambda i, first=first: first / (1 + i), reward: rising})
        log = read_log(event_file(tmp_path / writer / f"events.out.tfevents.{first:.0f}", written))
        assert log.writer == writer and log.has("value_rmse") is raw
        if raw:
            assert log.get("value_rmse")[0] == pytest.approx(np.sqrt(5900))


def test_a_language_model_is_not_judged_by_rules_for_control(tmp_path: Path) -> None:
    rows = [{"objective/kl": 5.0 + i, "policy/approxkl_avg": 0.4, "policy/clipfrac_avg": 0.4,
             "objective/scores": 0.1 * i, "policy/entropy_avg": 1.9, "lr": 1e-5, "epoch": 0.67}
            for i in range(30)]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = read_log(tmp_path)
    assert status(log, diagnose(log)) == "not_read" and "language model" in report(log, [])
    assert log.get("approx_kl")[0] == 0.4 and len(log) == 30  # the epoch does not move


VALUE_CLIP = {"kl": 0.01, "vf_explained_var": 0.003, "entropy": 1.9}


@pytest.mark.parametrize(
    ("loss", "clip", "found"),
    [(9.97, None, True), (9.97, 10.0, True), (9.97, 1e4, False), (4.0, None, False),
     (460.0, None, False), (460.0, 500.0, True)],
)  # fmt: skip
def test_a_value_loss_of_rllib_that_stands_at_its_clip_is_named(
    tmp_path: Path, loss: float, clip: float | None, found: bool
) -> None:
    config = {"gamma": 0.97} | ({"vf_clip_param": clip} if clip else {})
    rows = [
        {"episode_reward_mean": -1200.0 + i * 37 % 11, "timesteps_total": 4000 * (i + 1),
         "info": {"learner": {"p0": {"learner_stats": {**VALUE_CLIP, "vf_loss": loss}}}},
         "config": config}
        for i in range(40)
    ]  # fmt: skip
    (tmp_path / "result.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = read_log(tmp_path)
    assert log.number("ppo.gamma") == 0.97
    named = {finding.illness: finding.remedy for finding in diagnose(log)}
    assert ("value_clip_too_tight" in named) is found
    assert not found or "vf_clip_param=inf" in named["value_clip_too_tight"]


def chart(folder: Path, name: str, value: object) -> None:
    """A chart as TensorBoard downloads it."""
    table(folder / name, {"Wall time": 1.6e9, "Value": value})


def test_charts_downloaded_from_tensorboard_are_one_log(tmp_path: Path) -> None:
    chart(tmp_path, "run-PPO_1-tag-rollout_ep_rew_mean.csv", rising)
    chart(tmp_path, "run-PPO_1-tag-train_clip_range.csv", 0.2)
    chart(tmp_path, "run-PPO_0-tag-rollout_ep_rew_mean.csv", 1.0)
    log = read_log(tmp_path)
    assert log.writer == "stable-baselines3" and log.get("clip_range")[0] == 0.2
    assert log.get("mean_episode_return")[3] == rising(3)
    assert log.get("env_steps").tolist() == STEPS and any("2 runs" in note for note in log.notes)


@pytest.mark.parametrize(
    ("tag", "writer"),
    [("Environment_Cumulative Reward", "ml-agents"), ("charts_episodic_return (1)", "cleanrl"),
     ("Train_mean_reward", "rsl_rl"), ("eval_mean_reward", "unknown"), ("my reward", "unknown")],
)  # fmt: skip
@pytest.mark.parametrize("before", ["run-some-tag-", "PPO_3_"])  # as downloaded, and by hand
def test_a_chart_is_named_by_its_file(tmp_path: Path, tag: str, writer: str, before: str) -> None:
    name = f"{before}{tag}.csv"
    chart(tmp_path, name, rising)
    log = read_log(tmp_path / name)
    assert log.writer in (writer, "unknown") and (writer == "unknown" or len(log))
    assert log.has("mean_episode_return") is (tag != "my reward") or writer == "rsl_rl"


def test_rows_of_single_episodes_are_taken_together(tmp_path: Path) -> None:
    lines = [f"{i},{rising(i // 10)},50" for i in range(1, 401)]
    file = tmp_path / "rewards.csv"
    file.write_text("episode,reward,length\n" + "\n".join(lines) + "\n")
    log = read_log(file)
    assert len(log) == 80 and log.get("mean_episode_return")[0] == pytest.approx(
        np.mean([rising(i // 10) for i in range(1, 6)])
    )
    assert any("400 episodes" in note for note in log.notes)


def test_episodes_between_updates_are_means_of_the_update_after_them(tmp_path: Path) -> None:
    rows = []
    for update in range(1, 41):
        ends = [2000 * update - 900, 2000 * update - 300]
        rows += [{"global_step": end, "episode_reward": 10.0 + end % 7} for end in ends]
        rows += [{"global_step": 2000 * update, "approx_kl": 0.9, "clip_fraction": 0.7}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = read_log(tmp_path)
    assert len(log) == 40 and diagnose(log)[0].illness == "learning_rate_too_high"
    assert log.get("mean_episode_return")[0] == 10 + (1100 % 7 + 1700 % 7) / 2


def test_an_early_a2c_is_known_before_its_first_episode_ends(tmp_path: Path) -> None:
    rows = {"train/n_updates": 1.0, "train/entropy_loss": -0.69, "train/policy_loss": 2.0,
            "train/value_loss": 11.8, "train/explained_variance": 0.0}  # fmt: skip
    log = read_log(table(tmp_path / "progress.csv", rows))
    assert log.algorithm == "A2C"


def test_a_chart_downloaded_as_json_is_that_of_the_csv(tmp_path: Path) -> None:
    points = [[1.6e9 + i, step, rising(i)] for i, step in enumerate(STEPS)]
    file = tmp_path / "run-PPO_1-tag-rollout_ep_rew_mean.json"
    file.write_text(json.dumps(points))
    log = read_log(file)
    assert log.writer == "stable-baselines3" and log.get("mean_episode_return")[3] == rising(3)
    assert log.get("env_steps").tolist() == STEPS


def test_the_last_figures_of_a_run_are_too_few_to_judge(tmp_path: Path) -> None:
    """wandb-summary.json: of a rate that was annealed to nothing, which is no rate too low."""
    last = {"losses": {"approx_kl": 1.4e-8, "clipfrac": 0.0, "value_loss": 2.7e-13},
            "environment": {"episode_return": 0.2}, "learning_rate": 8e-10}  # fmt: skip
    file = tmp_path / "wandb-summary.json"
    file.write_text(json.dumps(last, indent=2))
    log = read_log(file)
    assert log.writer == "pufferlib" and len(log) == 1
    assert status(log, diagnose(log)) == "too_early"


def test_against_itself_a_policy_is_judged_by_its_rating(tmp_path: Path) -> None:
    even = {"Environment/Cumulative Reward": lambda i: 0.1 * (-1) ** i, "Policy/Entropy": 1.4}
    alone = read_log(event_file(tmp_path / "a" / "events.out.tfevents.1", tags(**even)).parent)
    assert status(alone, diagnose(alone)) == "not_learning"
    even |= {"Self-play/ELO": lambda i: 1200.0 + rising(i)}
    log = read_log(event_file(tmp_path / "b" / "events.out.tfevents.1", tags(**even)).parent)
    assert status(log, diagnose(log)) == "healthy"
    assert log.get("mean_episode_return")[0] == 1200 + rising(0)


@pytest.mark.parametrize(
    ("tag", "algorithm"), [("Losses/Baseline Loss", "POCA"), ("Losses/Q1 Loss", "SAC")]
)
def test_other_trainers_of_ml_agents_are_known_by_their_losses(
    tmp_path: Path, tag: str, algorithm: str
) -> None:
    figures = {"Environment/Cumulative Reward": rising, tag: 0.1}
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", tags(**figures)).parent)
    assert log.algorithm == algorithm and status(log, []) == "not_read"


def test_what_lacks_all_figures_of_ppo_alone_is_another_algorithm(tmp_path: Path) -> None:
    rows = {"rollout/ep_rew_mean": rising, "train/n_updates": 1.0, "train/value_loss": 11.8}
    assert read_log(table(tmp_path / "some.csv", rows)).algorithm == "another algorithm"
    trpo = read_log(table(tmp_path / "trpo.csv", rows | {"train/policy_objective": 0.1}))
    assert trpo.algorithm == "TRPO"
    for own in ("train/approx_kl", "train/clip_range", "train/policy_gradient_loss"):
        assert read_log(table(tmp_path / "ppo.csv", rows | {own: 0.01})).algorithm == "PPO"


def test_a_penalty_that_grows_is_a_harder_task(tmp_path: Path) -> None:
    """Isaac Lab multiplies the weights of penalties while training goes on."""
    falls = {"Train/mean_reward": lambda i: 90.0 - 60 * (i > 25) + i % 3, "Loss/surrogate": -0.01}
    weight = {"Curriculum/action_rate": lambda i: -0.1 if i > 25 else -1e-4}
    names = []
    for folder, written in (("a", falls), ("b", falls | weight)):
        event_file(tmp_path / folder / "events.out.tfevents.1", tags(**written))
        log = read_log(tmp_path / folder)
        names.append([finding.illness for finding in diagnose(log)])
    assert names == [["not_learning"], []]


def test_the_clip_factor_of_old_stable_baselines_is_its_clip_fraction(tmp_path: Path) -> None:
    rows = {"loss/clip_factor": 0.2, "loss/approximate_kullback-leibler": 0.01,
            "loss/value_function_loss": 4.0, "episode_reward": rising}  # fmt: skip
    log = read_log(table(tmp_path / "old.csv", rows))
    assert log.get("clip_fraction")[0] == 0.2 and log.get("approx_kl")[0] == 0.01
