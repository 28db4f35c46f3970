"""What stands around the batches: header, health of a single batch, end."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from screens import HEALTHY, SICK, SUMMARY, make, shown_batches

from ppo.cli.blocks import end_block, next_command, no_episode
from ppo.cli.flags import again
from ppo.cli.header import fixes, header
from ppo.config import Config


def test_the_header_names_the_active_fixes_in_at_most_five_lines_of_the_screen() -> None:
    facts = {
        "backend": "torch", "device": "cpu", "threads": 1, "parameters": 11_100,
        "path": "training_results/run0042", "previous": "run0041", "batch": 7,
        "differs": [f"ppo.normalize_returns{n} false -> true" for n in range(9)],
    }  # fmt: skip
    lines = header("run0042", Config(), facts)
    text = "\n".join(lines)
    assert len(lines) == 5 and max(map(len, lines)) <= 80
    assert "relative value clipping: +-20.0% of the old value" in text
    assert "return standardization: on (scale 10.0)" in text
    assert "value loss weight: 0.25" in text
    assert "from run0041: ppo.normalize_returns0 false -> true" in text and "more" in lines[3]
    assert "training_results/run0042" in lines[4] and "goes on at batch 7" in lines[4]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["ppo.value_clip_epsilon=0.05"], "relative value clipping: +-5.0% of the old value"),
        (
            ["ppo.use_relative_value_clip=false", "ppo.value_clip_epsilon=200.0"],
            "relative value clipping: off (absolute, +-200 of the standardized return)",
        ),
        (["ppo.value_clip=sigma"], "value clipping: +-0.2 standard deviations of the return"),
        (["ppo.value_clip=none"], "value clipping: off"),
        (["ppo.normalize_returns=false"], "return standardization: off"),
        (
            ["ppo.return_normalizer=symlog", "ppo.value_clip=none"],
            "return standardization: off (symlog)",
        ),
        (["ppo.return_scale=2.5"], "return standardization: on (scale 2.5), popart"),
        (["ppo.value_loss_unit=network"], "value loss weight: 0.25 (effective 25)"),
        (["ppo.value_loss_weight=1"], "value loss weight: 1"),
    ],
)
def test_each_fix_is_described_as_it_is_set(overrides: list[str], expected: str) -> None:
    assert expected in fixes(Config().with_overrides(overrides).ppo)


def test_the_end_says_how_it_went_and_what_to_type_next() -> None:
    console, screen, clock = make()
    console.batch(HEALTHY | {"batch": 0}, 1.0)
    console.batch(HEALTHY | {"batch": 1}, 1.0)  # held back, and shown before the end
    console.end(SUMMARY)
    text = screen.getvalue()
    assert shown_batches(screen) == [0, 1]
    assert "788 over the last 100 episodes of training (95 % interval 760 to 815)" in text
    assert "evaluation 801, after 60 batches" in text
    assert "verdict | healthy" in text
    assert "rollout 25%, update 62%, other 12%" in text
    assert text.endswith("next    | python train_cli.py --mode evaluate --run run0042\n")


@pytest.mark.parametrize(
    ("episodes", "words"),
    [(100, "the 100 episodes"), (101, "the last 100 of 101 episodes"), (3, "the 3 episodes")],
)
def test_the_end_says_how_many_episodes_its_mean_is_of(episodes: int, words: str) -> None:
    text = "\n".join(end_block(SUMMARY | {"episodes": episodes}))
    assert f"788 over {words} of training" in text


def test_the_end_counts_the_time_of_evaluations() -> None:
    spent = {"collect": 1.0, "update": 0.5, "other": 0.5}
    for seconds, words in (
        (58.0, "in 1:00 (500k steps/s, evaluations apart)"),
        (0.05, "in 0:02 ("),
    ):
        text = end_block(SUMMARY | {"time": {**spent, "evaluation": seconds}})[0]
        assert words in text and ("apart" in text) == (seconds > 1)


@pytest.mark.parametrize("noise", [True, False])
def test_the_end_tells_an_evaluation_without_noise_from_episodes_of_training(noise: bool) -> None:
    console, screen, _ = make()
    config = Config.from_dict({"evaluation": {"deterministic": not noise}})
    console.start("run0001", config, {})
    console.end(SUMMARY)
    assert ("without its noise" in screen.getvalue()) == (not noise)


@pytest.mark.parametrize(("high", "worse"), [(700.0, True), (770.0, False)])
def test_a_policy_that_needs_its_noise_is_said_to(high: float, worse: bool) -> None:
    best = {"mean_return": 650.0, "ci95": [600.0, high], "batch": 60}
    for deterministic in (True, False):
        text = " ".join(
            end_block(SUMMARY | {"best_evaluation": best, "deterministic": deterministic})
        )
        assert ("worse than with it" in text) == (worse and deterministic)


def test_the_verdict_repeats_the_remedy_of_what_was_found() -> None:
    console, screen, _ = make()
    console.batch(HEALTHY | {"batch": 13}, 1.0)
    console.finding("value_shock", "evidence", "ppo.normalize_returns=true", "run0042")
    console.end(SUMMARY | {"findings": ["value_shock"]})
    text = screen.getvalue()
    assert "verdict | value shock since batch 13: try ppo.normalize_returns=true" in text
    assert text.endswith("--mode diagnose run0042\n")


def test_an_end_that_knows_nothing_still_prints() -> None:
    console, screen, _ = make()
    console.end({"status": "failed", "reason": "disk full", "final_return": float("nan")})
    assert "failed: disk full" in screen.getvalue()


@pytest.mark.parametrize(
    ("summary", "command"),
    [
        ({"run": "run0001", "status": "interrupted"}, "train --resume run0001"),
        ({"run": "run0001", "path": "out/run0001"}, "evaluate --run out/run0001"),
        ({"run": "run0001", "path": "my runs/run0001"}, "evaluate --run 'my runs/run0001'"),
        ({"run": "run0001", "status": "failed", "exit_status": 1}, "train --resume run0001"),
        ({"run": "run0001", "status": "failed", "exit_status": 4}, "diagnose run0001"),
    ],
)
def test_the_next_command_can_be_pasted(summary: dict[str, str], command: str) -> None:
    assert next_command(summary) == f"python train_cli.py --mode {command}"


def test_a_large_cut_is_explained_at_the_end_where_it_does_no_harm() -> None:
    fine = HEALTHY | {
        "grad_clip_factor": 24.0, "value_gradient_share": 0.02, "policy_std": 0.04,
        "explained_variance": 0.94,
    }  # fmt: skip
    for change, harmless in (
        ({}, True),
        ({"value_gradient_share": 0.995}, False),  # the value's
        ({"grad_clip_factor": 31.0, "explained_variance": 0.4}, False),  # nothing is learned
        ({"grad_clip_factor": 2.0}, False),  # nothing to explain
    ):
        console, screen, _ = make()
        for batch in range(12):
            console.batch(fine | change | {"batch": batch}, 1.0)
        console.end(SUMMARY)
        text = screen.getvalue()
        assert ("cut     | gradients are cut to 1/24, which is harmless" in text) == harmless
        assert harmless != ("!" in text) or change == {"grad_clip_factor": 2.0}
        assert not harmless or "98% of their length is the policy's" in " ".join(
            text.replace("|", "").split()
        )


def test_a_cut_is_not_called_harmless_where_the_critic_explains_nothing() -> None:
    for variance, harmless in ((0.9, True), (0.1, False), (None, False)):
        console, screen, _ = make()
        for batch in range(12):
            record = {"batch": batch, "grad_clip_factor": 9.0, "explained_variance": variance}
            console.batch(HEALTHY | record | {"value_gradient_share": None}, 1.0)
        console.end(SUMMARY)
        text = " ".join(screen.getvalue().replace("|", "").split())
        assert ("harmless here: the critic works" in text) == harmless


@pytest.mark.parametrize("width", [60, 80])
def test_what_differs_is_never_cut_within_a_change(width: int) -> None:
    changes = [
        "env.id MountainCarContinuous-v0 -> LunarLander-v3",
        "ppo.gamma 0.99 -> 0.999",
        "ppo.num_steps 256 -> 1,024",
    ]
    for count in range(1, 4):
        facts = {"differs": changes[:count], "previous": "run0018"}
        lines = header("run0019", Config(), facts, width)
        (line,) = [text for text in lines if text.startswith("differs")]
        assert len(line) <= width and "env.id" in line
        shown = sum(change.split()[0] in line for change in changes[:count])
        assert shown == count or line.endswith(f", and {count - shown} more")


def test_a_single_batch_says_how_to_train_with_the_same_settings() -> None:
    args = argparse.Namespace(
        config=Path("my config.yaml"), overrides=["env.id=CartPole-v1"], seed=3,
        results=Path("training_results"),
    )  # fmt: skip
    console, screen, _ = make(health=True, given=again(args))
    console.end(SUMMARY)
    words = "--config 'my config.yaml' --set env.id=CartPole-v1 --set system.seed=3"
    assert screen.getvalue().splitlines()[-1].endswith(f"--mode train {words}")


def test_a_finding_that_did_not_last_is_not_dropped_without_a_word() -> None:
    console, screen, _ = make()
    console.batch(HEALTHY, 1.0)
    console.finding("too_many_epochs", "KL grows", "ppo.num_epochs=5", "run0042")
    verdict = SimpleNamespace(text="healthy: no rule fired", findings=[])
    trainer = SimpleNamespace(
        events=[], doctor=SimpleNamespace(verdict=verdict), recent=[1],
        folder=SimpleNamespace(name="run0042", path=Path("training_results/run0042")),
    )  # fmt: skip
    console.on_end(trainer, SUMMARY | {"findings": []})
    lines = screen.getvalue().splitlines()
    assert "verdict | healthy: no rule fired" in lines
    assert "passed  | too many epochs: found on the way, and no more at the end" in lines


def test_a_cut_is_not_called_harmless_beside_the_illness_of_that_name() -> None:
    console, screen, _ = make()
    for batch in range(12):
        console.batch(HEALTHY | {"grad_clip_factor": 50.0, "explained_variance": 0.9}, 1.0)
        if batch == 6:
            console.finding("gradients_always_clipped", "50 times", "ppo.max_grad_norm=1", "run1")
    console.end(SUMMARY)
    assert "harmless" not in screen.getvalue()


@pytest.mark.parametrize(
    ("overrides", "longest", "advice"),
    [
        ([], 1000, "returns show sooner with ppo.num_steps=1920 env.num_envs=8"),
        ([], None, "returns show sooner with ppo.num_steps=240 env.num_envs=64"),
        (["network.memory=lstm"], 1000, "a larger ppo.num_steps shows returns sooner"),
        (["env.num_envs=1"], 1000, "a larger ppo.num_steps shows returns sooner"),
    ],
)
def test_a_run_without_returns_names_settings_that_fit_together_and_show_some(
    overrides: list[str], longest: int | None, advice: str
) -> None:
    config = Config().with_overrides([*overrides, "ppo.num_minibatches=1"])
    text = no_episode(config, longest, 3)
    assert text.startswith("no episode ended in 3 batches of 60 steps") and advice in text
    typed = re.findall(r"[a-z_.]+=[0-9]+", text)
    changed = Config().with_overrides(typed)  # to the shipped number of minibatches too
    assert changed.env.num_envs * changed.ppo.num_steps == 256 * 60


def test_after_one_batch_on_raw_returns_the_scale_is_warned_of_and_nothing_is_called_good() -> None:
    raw = Config().with_overrides(
        ["ppo.normalize_returns=false", "ppo.use_relative_value_clip=false"]
    )
    batch = HEALTHY | {
        "explained_variance": 0.0, "normalized_value_loss": 1.53, "value_loss": 158_371.0,
        "grad_clip_factor": 1470.0, "value_gradient_share": 0.0, "return_std": 358.0,
    }  # fmt: skip
    console, screen, _ = make(health=True)
    console.start("run0001", raw, {})
    console.batch(batch, 1.0)
    console.end(SUMMARY | {"verdict_text": "too early to judge: 1 batch"})
    text = " ".join(screen.getvalue().split())
    assert "warning: the value loss is in squared rewards" in text
    assert "158,371 and gradients are cut 1,470 times" in text
    assert "Set ppo.normalize_returns=true" in text and "healthy:" not in text
    rows = {line[2:21].strip(): line for line in screen.getvalue().splitlines() if line[:2] == "  "}
    for name in ("value loss", "value/var", "grad cut", "ev"):
        assert " good " not in rows[name], rows[name]
    console, screen, _ = make(health=True)
    console.start("run0001", Config(), {})
    console.batch(HEALTHY, 1.0)
    console.end(SUMMARY)
    assert "warning" not in screen.getvalue()


def test_a_single_batch_ends_with_its_fixes_and_its_health() -> None:
    console, screen, _ = make(health=True)
    console.start("run0001", Config(), {})
    console.batch(HEALTHY | SICK, 1.0)
    console.end(SUMMARY)
    lines = screen.getvalue().splitlines()
    assert "  relative value clipping: +-20.0% of the old value" in lines
    assert any("health of the batch" in line for line in lines)
    words = {line[2:21].strip(): line[32:41].strip() for line in lines if line.startswith("  ")}
    assert words["policy loss"] == "good" and words["grad cut"] == "high !"
    assert words["ev"] == "low !" and words["value/var"] == "high !"
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1].endswith("--mode train")


@pytest.mark.parametrize(("weight", "term"), [(0.0, "none"), (0.01, "-0.01 x entropy")])
def test_an_entropy_bonus_that_is_off_is_no_term_of_the_loss(weight: float, term: str) -> None:
    console, screen, _ = make()
    console.single_batch(HEALTHY | {"entropy_coefficient": weight}, Config())
    assert f"entropy loss: {term} value/var" in " ".join(screen.getvalue().split())


def test_the_health_of_a_broken_batch_says_so() -> None:
    console, screen, _ = make()
    console.single_batch(dict.fromkeys(HEALTHY), Config())
    assert "NOT FINITE" in screen.getvalue() and "unknown" in screen.getvalue()
