"""The numbers of a batch's health are what their names mean."""

from learner_tools import learner
from value_tools import ThreeScales, make_learner


def test_squashed_actions_are_never_out_of_bounds():
    wide = {"network__initial_log_std": 2.0, "ppo__learning_rate": 1e-12}
    for squash, least, most in (("clip", 0.5, 1.0), ("tanh", 0.0, 0.0)):
        record = learner("Pendulum-v1", **wide, network__action_squash=squash).step()
        assert least <= record["action_out_of_bounds_share"] <= most


def test_a_picture_has_no_numbers_to_judge():
    record = learner("image_env:Picture-v0", ppo__num_epochs=1).step()
    assert all(record[name] is None for name in ("obs_outlier_share", "obs_std_ratio"))


def test_a_critic_of_bins_has_a_reach_and_no_clip():
    bins = {"ppo__value_loss": "hl_gauss", "ppo__value_clip": "sigma"}
    record = learner("Pendulum-v1", **bins, ppo__value_clip_epsilon=1e-6).step()
    assert record["batches_to_reach"] > 0 and record["value_clip_fraction"] == 0


def test_a_reward_component_that_never_differs_hides_no_drift_of_the_others():
    class Paid(ThreeScales):
        def rewards(self, state, actions, next_state, ends):
            found = super().rewards(state, actions, next_state, ends)
            found[:, 2] = 0.0
            return found

    run = make_learner(env=Paid())
    run.step()
    record = run.step()
    assert record["return_drift"] > 0 and record["frame_age"] > 0
