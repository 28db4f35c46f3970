"""Changes of meaning that no test noticed once: each makes a test of the quick suite fail now."""

from __future__ import annotations

import pytest
from mutated_tree import ROOT, change, places_of, run_tests

NUMBERS = "tests/laws/test_numbers.py"
SETTINGS = "tests/laws/test_settings.py"
STATE = "tests/laws/test_state.py"
RATE = "tests/algorithm/test_kl_rate.py"
FAULTS = "tests/faults/test_numerics.py"
CUTS = "tests/laws/test_cuts.py"


# file below ppo/, the code, what stands there in its place, the tests that notice
CHANGES = {
    "the best checkpoint is the worst": (
        "training/evaluations.py", '["mean_return"] < self.best', '["mean_return"] > self.best',
        "tests/training/test_evaluations.py",
    ),
    "evaluation.deterministic ignored": (
        "training/evaluations.py", "settings.deterministic,", "True,", SETTINGS,
    ),
    "an unknown success is a failure": (
        "algorithm/record.py", "self.success[~np.isnan(self.success)]",
        "np.nan_to_num(self.success)", "tests/algorithm/test_record.py",
    ),
    "a terminated episode is told as truncated": (
        "algorithm/record.py", '"truncated" if bool(self.truncated[i])', '"truncated" if True',
        "tests/algorithm/test_record.py",
    ),
    "critic_learning_rate without effect": (
        "algorithm/build.py", "if ppo.critic_learning_rate is not None:", "if False:", SETTINGS,
    ),
    "component_weights without effect": (
        "algorithm/targets.py", "advantages * settings.component_weights", "advantages", SETTINGS,
    ),
    "clip_schedule without effect": (
        "algorithm/schedules.py", "scheduled(config.clip_epsilon, config.clip_schedule, progress)",
        "config.clip_epsilon", SETTINGS,
    ),
    "observation_clip without effect": (
        "networks/normalizer.py", ".clamp(-self.limit, self.limit)", "", SETTINGS,
    ),
    "the KL stop at twice the target": (
        "algorithm/update.py", "KL_STOP_FACTOR = 1.5", "KL_STOP_FACTOR = 2.0", RATE,
    ),
    "the KL stop after the step": (
        "algorithm/update.py",
        "        self.running.logical_and_(~(kl > self.kl_limit))\n"
        "        norms, taken = self.optimizer.step(grad, knobs.learning_rate, self.running)\n",
        "        norms, taken = self.optimizer.step(grad, knobs.learning_rate, self.running)\n"
        "        self.running.logical_and_(~(kl > self.kl_limit))\n",
        RATE,
    ),
    "the value loss a mean over components": (
        "losses/value.py", "per_component.sum()", "per_component.mean()", NUMBERS,
    ),
    "old values of the first batch not moved": (
        "algorithm/targets.py", "        if scale.carries_back:\n", "        if False:\n", NUMBERS,
    ),
    "the entropy not masked": (
        "losses/entropy.py", ", batch.valid)", ", batch.valid * 0 + 1)", NUMBERS,
    ),
    "the learning-rate schedule one batch off": (
        "algorithm/learner.py", 'self.counters["env_steps"] / self',
        '(self.counters["env_steps"] + self.steps_per_batch) / self', NUMBERS,
    ),
    "explained variance of what was predicted after the update": (
        "algorithm/examine.py",
        "found = health.after_update(self.objective, batch, steps, learning_rate)\n",
        "found = health.after_update(self.objective, batch, steps, learning_rate)\n"
        '        found["explained_variance"] = found["explained_variance_after"]\n',
        NUMBERS,
    ),
    "rolled back only if all gradients are bad": (
        "algorithm/record.py", "> 0.5 * values", "> 0.9 * values", FAULTS,
    ),
    "the halved rate ends a batch early": (
        "algorithm/learner.py", "ROLLBACK_BATCHES = 10", "ROLLBACK_BATCHES = 9", FAULTS,
    ),
    "return_std without the discount": (
        "algorithm/rewards.py", "self.gamma * goes_on", "goes_on",
        "tests/algorithm/test_rewards.py",
    ),
    "the KL rate's factor missing from a checkpoint": (
        "algorithm/schedules.py", "torch.ones((), dtype=torch.float64)",
        "torch.ones((), dtype=torch.float64), persistent=False", STATE,
    ),
    "the normalizer learns from rows that are no steps": (
        "algorithm/examine.py", "batch.obs, batch.valid", "batch.obs, batch.valid * 0 + 1", CUTS,
    ),
    "the normalizer learns twice": (
        "algorithm/examine.py", "        agent.normalizer.update(batch.obs, batch.valid)\n",
        "        agent.normalizer.update(batch.obs, batch.valid)\n" * 2, CUTS,
    ),
    "the memory is not reset after a dummy row": (
        "algorithm/rollout/players.py", "fresh = step.begins_anew.", "fresh = step.finished.",
        "tests/networks/test_memory.py",
    ),
    "compare pools runs of another lambda": (
        "insight/comparison/relevant.py", '    "system.seed",\n',
        '    "system.seed",\n    "ppo.gae_lambda",\n', "tests/insight/test_comparison_groups.py",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_meaning_is_noticed(tmp_path, name):
    file, code, replacement, tests = CHANGES[name]
    change(tmp_path, code, replacement, file)
    assert run_tests(tmp_path, tests) == 1


@pytest.mark.parametrize("name", CHANGES)
def test_the_code_that_is_changed_stands_there_once(name):
    file, code, _, tests = CHANGES[name]
    assert len(places_of(code, file)) == 1
    assert (ROOT / tests).exists()


@pytest.mark.slow
def test_without_a_change_the_copy_passes(tmp_path):
    """Otherwise a failure above would say nothing."""
    file, code, _, _ = CHANGES["the entropy not masked"]
    change(tmp_path, code, code, file)
    assert run_tests(tmp_path, *sorted({tests for *_, tests in CHANGES.values()})) == 0
