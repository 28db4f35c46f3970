"""A run's own account of itself: which settings are new."""

from __future__ import annotations

from ppo.algorithm.automatic import chosen
from ppo.config import Config
from ppo.runs.folder import RunFolder
from ppo.runs.summary import best_evaluation, changed_settings, changes_between, which_episodes


def test_the_run_before_number_10000_is_number_9999(tmp_path):
    """As text run10000 comes right after run1000."""
    for number, seed in ((1000, 7), (9999, 8)):
        config = chosen(Config().with_overrides([f"system.seed={seed}"]))[0]
        path = tmp_path / f"run{number}"
        path.mkdir()
        RunFolder(path).write_text("config.yaml", config.to_yaml())
    folder = RunFolder.create(tmp_path)
    found = changed_settings(chosen(Config())[0], folder)
    folder.close()
    assert folder.name == "run10000"
    assert found == {"previous": "run9999", "differs": ["system.seed 8 -> 1"]}


def test_one_batch_and_one_episode_are_in_the_singular():
    one = {"mean_return": 7.0, "episodes": 1, "batch": 1}
    assert best_evaluation({"best_evaluation": one}, True).endswith("after 1 batch")
    several = {"mean_return": 7.0, "episodes": 2, "batch": 3}
    assert "7 over 1 episode, " in best_evaluation({"best_evaluation": one}, False)
    told = best_evaluation({"best_evaluation": several}, False)
    assert told == "7 over 2 episodes, after 3 batches"


def test_a_single_episode_of_training_is_in_the_singular():
    assert which_episodes({"episodes": 1}) == "one episode of training"
    assert which_episodes({"episodes": 2}) == "the 2 episodes of training"


def test_a_change_is_written_as_it_is_typed():
    before = {"ppo": {"target_kl": None, "normalize_returns": True, "x": [0.5]}, "auto": {"a": 1}}
    now = {"ppo": {"target_kl": 0.5, "normalize_returns": False, "x": []}, "auto": {"a": 2}}
    assert changes_between(before, now) == [
        "ppo.target_kl null -> 0.5", "ppo.normalize_returns true -> false", "ppo.x [0.5] -> []",
    ]  # fmt: skip
