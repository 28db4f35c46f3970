"""What trainers print as lines and blocks: read by the names they print, pasted or whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppo.core.errors import UserError
from ppo.insight.doctor import diagnose, status
from ppo.insight.logs import MetricsLog, read_log

RSL_RL = """################################################################################
                      \x1b[1m Learning iteration {0}/1500 \x1b[0m

                       Computation: 13895 steps/s (collection: 6.968s, learning 0.107s)
             Mean action noise std: {1}
          Mean value_function loss: 4.0
               Mean surrogate loss: -0.0142
                 Mean entropy loss: 32.8413
                       Mean reward: {2}
               Mean episode length: 435.43
Episode_Reward/track_lin_vel_xy_exp: 0.0342
         Curriculum/terrain_levels: 6.1274
--------------------------------------------------------------------------------
                   Total timesteps: 2396800
                      Time elapsed: 00:17:08
"""
UNITY = (
    "[INFO] Ball. Step: {0}. Time Elapsed: 9.9 s. Mean Reward: {1}. Std of Reward: 2. Training.\n"
)
NO_EPISODE = (
    "[INFO] Ball. Step: {0}. Time Elapsed: 9.1 s. No episode was completed since last summary."
)
RLLIB = """Result for PPO_CartPole-v0_120b5_00000:
  custom_metrics: {{}}
  date: 2022-07-27_15-41-01
  episode_len_mean: 22.5
  episode_reward_max: 200.0
  episode_reward_mean: {1}
  info:
    learner:
      default_policy:
        learner_stats:
          cur_lr: 4.999999873689376e-05
          entropy: 0.6657
          kl: 0.0278
          vf_explained_var: 0.7
          vf_loss: 9.0
    num_agent_steps_sampled: 7
  timesteps_total: {0}
== Status ==
Memory usage on this node: 12.1/187.4 GiB
"""


def read(folder: Path, text: str, name: str = "issue.txt") -> MetricsLog:
    (folder / name).write_text(text)
    return read_log(folder / name)


@pytest.mark.parametrize("mark", ["", "> ", "   > "])
def test_blocks_of_rsl_rl_are_a_log_of_its_own(tmp_path: Path, mark: str) -> None:
    text = "".join(RSL_RL.format(i, 1 - 0.1 * i, 2.5 * i) for i in range(208, 211))
    log = read(tmp_path, "\n".join(mark + line for line in text.splitlines()))
    assert log.writer == "rsl_rl" and log.batches.tolist() == [208, 209, 210]
    assert log.get("mean_episode_return").tolist() == [520.0, 522.5, 525.0]
    assert log.get("value_rmse").tolist() == [2.0] * 3 and log.get("entropy")[0] == 32.8413
    assert log.get("mean_episode_length")[-1] == 435.43 and log.get("policy_loss")[0] == -0.0142


def test_the_first_words_of_rsl_rl_name_the_same_figures(tmp_path: Path) -> None:
    block = "Learning iteration {0}/9\n Value function loss: inf\n Surrogate loss: 0.0\n"
    block += " Mean action noise std: 0.56\n Mean total reward: 25.66\n"
    log = read(tmp_path, block.format(7) + block.format(8))
    assert log.writer == "rsl_rl" and diagnose(log)[0].illness == "non_finite"
    assert diagnose(log)[0].since_batch == 7


def test_lines_of_ml_agents_are_read_with_the_settings_above(tmp_path: Path) -> None:
    head = "\ttrainer_type:\tppo\n\t  buffer_size:\t10240\n\t  num_epoch:\t3\n"
    lines = [UNITY.format(10_000 * i, -2.0 + 0.1 * i) for i in range(1, 13)]
    other = (
        "[INFO] Goalie. Step: 10000. Time Elapsed: 1.0 s. Mean Reward: 99. Std of Reward: 0.0.\n"
    )
    lines[2:4] = [NO_EPISODE.format(30_000) + "\n", UNITY.format(40_000, "-0.5"), other]
    log = read(tmp_path, head + "".join(lines))
    assert log.writer == "ml-agents" and log.settings["ppo.num_steps"] == 10240
    assert log.get("env_steps").tolist() == [10_000.0 * i for i in range(1, 13) if i != 3]
    returns = log.get("mean_episode_return")
    assert returns[0] == -1.9 and returns[2] == -0.5 and 99.0 not in returns
    assert status(log, diagnose(log)) == "healthy"


@pytest.mark.parametrize(
    "line",
    ["INFO:unityagents: Brain: Step: {0}. Mean Reward: {1}. Std of Reward: 0.0.\n",
     "INFO:mlagents.trainers: a-0: Ball: Step: {0}. Time Elapsed: 9 s Mean Reward: {1}. Std\n",
     "2021-01-19 13:18:53 INFO [stats.py:139] 3DBall. Step: {0}. Time Elapsed: 18.8 s. "
     "Mean Reward: {1}. Std of Reward: 0.7. Training.\n"],
)  # fmt: skip
def test_every_version_of_ml_agents_is_understood(tmp_path: Path, line: str) -> None:
    log = read(tmp_path, "".join(line.format(1000 * i, 1.5 * i) for i in range(1, 5)))
    assert log.writer == "ml-agents" and log.get("mean_episode_return").tolist() == [
        1.5, 3.0, 4.5, 6.0,
    ]  # fmt: skip


def test_a_lesson_that_begins_is_no_collapse(tmp_path: Path) -> None:
    learned = [UNITY.format(10_000 * i, f"{min(0.1 * i, 4):.1f}") for i in range(1, 61)]
    fallen = [UNITY.format(10_000 * i, "-1.0") for i in range(61, 91)]
    lesson = "[INFO] Parameter 'difficulty' is in lesson 'two' and has value 'Float: value=0.1'.\n"
    plain = read(tmp_path, "".join(learned + fallen))
    taught = read(tmp_path, "".join([*learned, lesson, *fallen]))
    assert [f.illness for f in diagnose(plain)] == ["policy_collapse"]
    assert diagnose(taught) == []


def test_results_that_rllib_prints_are_read_by_their_paths(tmp_path: Path) -> None:
    log = read(tmp_path, "".join(RLLIB.format(4000 * i, 20.5 * i) for i in range(1, 4)))
    assert log.writer == "rllib" and log.get("env_steps").tolist() == [4000.0, 8000.0, 12000.0]
    assert log.get("mean_episode_return").tolist() == [20.5, 41.0, 61.5]
    assert log.get("approx_kl")[2] == 0.0278 and log.get("value_rmse")[0] == 3.0


def test_episodes_that_cleanrl_prints_are_taken_together(tmp_path: Path) -> None:
    text = "".join(
        f"global_step={40 * i}, episodic_return=[{20.0 + i}]\n" + "SPS: 2400\n" * (i % 3 == 0)
        for i in range(1, 101)
    )
    log = read(tmp_path, text)
    assert log.writer == "cleanrl" and len(log) == 20
    assert log.get("mean_episode_return")[0] == 23.0 and log.get("env_steps")[-1] == 4000


@pytest.mark.parametrize(
    ("writer", "line"),
    [
        ("ppo-pytorch", "Episode : {0} \t\t Timestep : {1} \t\t Average Reward : {2}\n"),
        ("tianshou", "Epoch #{0}: 50001it [00:19, 25.7it/s, env_step={1}, len=9, rew={2}]\n"),
        ("unknown", "Eval num_timesteps={1}, episode_reward={2} +/- 9\nEpisode length: 9 +/- 1\n"),
        ("unknown", "{1}: reward={2}\n"),
        ("unknown", "[16355] Fps is (10 sec: 0.0). Total num frames: {1}. Samples: 5.\n"
                    "[16355] Avg episode reward: [(0, '{2}')]\n"),
        ("unknown", "2020-10-10 08:33:17,256 INFO global step: {1}\n2020-10-10 08:33:18,402 INFO "
                    "Average Episode Return: {2}\n"),
        ("unknown", "{{'total_timesteps': {1}, 'mean_reward': {2}, 'approx_kl': 0.01}}\n"),
    ],
)  # fmt: skip
def test_lines_of_figures_are_read_by_their_names(tmp_path: Path, writer: str, line: str) -> None:
    text = "".join(line.format(i, 51_200 * i, -4.5 + i) for i in range(1, 9))
    log = read(tmp_path, "Started training\n" + text)
    assert log.writer == writer and len(log) == 8
    assert log.get("mean_episode_return").tolist() == [-4.5 + i for i in range(1, 9)]
    assert log.get("env_steps").tolist() == [51_200.0 * i for i in range(1, 9)]


def test_steps_that_are_printed_once_are_a_setting_and_no_axis(tmp_path: Path) -> None:
    lines = "".join(f"  [eval @ {5000 * i:>7,}] reward= {i:+.2f}  done=0%\n" for i in range(1, 9))
    log = read(tmp_path, "Total timesteps : 500,000\nn_envs=8\n" + lines)
    assert log.get("mean_episode_return").tolist() == [float(i) for i in range(1, 9)]


def test_a_mean_goes_before_the_reward_of_the_episode_beside_it(tmp_path: Path) -> None:
    line = "Episode: {}, Actions: 2351, reward: -18, Avg. reward: {}, Time: 4.28, T/A: 1.82ms\n"
    log = read(tmp_path, "".join(line.format(i, -20 + i) for i in range(1, 31)))
    assert log.get("mean_episode_return").tolist() == [-17.0, -12.0, -7.0, -2.0, 3.0, 8.0]


@pytest.mark.parametrize(
    "text",
    ["learning_rate: 0.001\ngamma: 0.99\nreward: 1\n",  # settings
     "Epoch 1: loss: 0.5, accuracy: 0.8\nEpoch 2: loss: 0.4, accuracy: 0.9\n" * 9,
     "The mean reward: higher is better.\nstep: 1\nstep: 2\nstep: 3\n"],
)  # fmt: skip
def test_text_with_colons_is_no_log(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.txt").write_text(text)
    with pytest.raises(UserError, match="no loss_metrics"):
        read_log(tmp_path)


def test_empty_lines_within_a_box_do_not_end_it(tmp_path: Path) -> None:
    rows = [("rollout/", ""), ("    ep_rew_mean", "2.5"), ("time/", ""),
            ("    total_timesteps", "2048"), ("train/", ""), ("    approx_kl", "0.01")]  # fmt: skip
    box = "----\n" + "\n\n".join(f"| {name} | {value} |" for name, value in rows) + "\n----\n"
    log = read(tmp_path, box + box.replace("2048", "4096"), "issue.md")
    assert len(log) == 2 and log.get("env_steps").tolist() == [2048.0, 4096.0]
    assert log.get("mean_episode_return")[0] == 2.5


@pytest.mark.parametrize("edge", ["|", ""])
def test_tables_with_a_head_are_read_by_its_names(tmp_path: Path, edge: str) -> None:
    head = f"{edge} step | Mean Reward | kl {edge}\n{edge}------|------|-----{edge}\n"
    rows = [f"{edge} {2048 * i} | {2.5 * i} | 0.01 {edge}\n" for i in range(1, 6)]
    log = read(tmp_path, "Some words | and others.\n\n" + head + "".join(rows), "issue.md")
    assert log.get("mean_episode_return").tolist() == [2.5, 5.0, 7.5, 10.0, 12.5]
    assert log.get("approx_kl")[0] == 0.01 and log.get("env_steps")[-1] == 10240


def test_of_the_trials_of_a_tune_table_the_first_is_read(tmp_path: Path) -> None:
    status = "+---+---+\n| Trial name | status | iter | ts | reward |\n|---|---|---|---|---|\n"
    status += (
        "| PPO_a | RUNNING | {0} | {1} | {2} |\n| PPO_b | RUNNING | {0} | {1} | -9.0 |\n+---+\n"
    )
    text = "".join(status.format(i, 4000 * i, 20.5 * i) for i in range(1, 5))
    log = read(tmp_path, text)
    assert log.get("mean_episode_return").tolist() == [20.5, 41.0, 61.5, 82.0]
    assert log.get("env_steps").tolist() == [4000.0, 8000.0, 12000.0, 16000.0]
