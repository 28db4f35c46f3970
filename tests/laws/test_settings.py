"""Every setting does what its description says; one without a test fails here.

`@holds` names the settings whose effect a test of this file checks, alone and in its direction.
ELSEWHERE names the test that holds a setting in another file. SEEN lists those of which it is only
known that they change the record of a short run: a wrong direction would pass.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from learner_tools import learner, records, settings
from torch import nn

from ppo import Trainer
from ppo.config import Config
from ppo.config.words import is_model, known_paths
from ppo.envs.native.double_integrator import DoubleIntegrator
from ppo.losses import balancers
from ppo.policies.demonstrations import Demonstrations
from ppo.policies.imitation import Imitator
from ppo.runs.folder import RunFolder
from ppo.values import CLIPS, HEADS, SCALES

HELD: dict[str, str] = {}
ONE = {"ppo__num_epochs": 1, "ppo__num_minibatches": 1}  # a batch is one gradient step
APART = {"network__shared_encoder": "false"}
FORMS = ("plain", "pessimistic")
WEIGHT = 0.1  # of one gradient in Adam's first moment


def holds(*names: str) -> Callable[[Any], Any]:
    """Marks the test that checks what these settings do."""

    def keep(test: Any) -> Any:
        HELD.update(dict.fromkeys(names, test.__name__))
        return test

    return keep


ELSEWHERE = {
    "auto.settings": "laws/test_automatic.py::test_another_seed_is_the_same_request",
    "auto.taken": "config/test_automatic.py::"
    "test_what_auto_was_is_shown_and_is_auto_again_where_nobody_wants_a_value",
    "auto.steps": "laws/test_automatic.py::test_the_steps_of_the_look_count",
    "env.wrappers": "envs/test_wrapping.py::test_they_are_what_a_factory_puts_around",
    "env.wrappers_kwargs": "envs/test_wrapping.py::test_they_are_what_a_factory_puts_around",
    "env.workers": "envs/test_backends.py::test_workers_change_no_bit",
    "env.step_timeout": "envs/test_backends.py::test_a_hanging_environment_is_replaced_once",
    "env.on_error": "envs/test_faults.py::test_an_episode_with_a_fault_can_be_cut",
    "env.on_nonfinite": "envs/test_faults.py::test_an_episode_with_a_fault_can_be_cut",
    "env.action_masks": "envs/test_masks.py::test_no_action_that_is_ruled_out_is_ever_taken",
    "env.double_precision": "envs/test_precision.py::"
    "test_bounds_decide_and_without_bounds_the_first_observation",
    "network.encoder": "networks/test_encoders.py::"
    "test_auto_takes_convolutions_where_an_image_is_large_enough",
    "network.images": "networks/test_groups.py::"
    "test_a_large_box_of_two_or_three_axes_is_an_image_whatever_its_type",
    "network.actor_keys": "networks/test_groups.py::"
    "test_actor_and_critic_depend_on_their_own_keys_alone",
    "network.critic_hidden_sizes": "networks/test_groups.py::"
    "test_a_critic_may_have_layers_of_its_own",
    "network.critic_keys": "networks/test_groups.py::"
    "test_actor_and_critic_depend_on_their_own_keys_alone",
    **dict.fromkeys(
        (
            "network.encoder_kwargs",
            "network.memory_kwargs",
            "ppo.value_loss_kwargs",
            "ppo.return_normalizer_kwargs",
            "ppo.value_clip_kwargs",
            "balancing.kind_kwargs",
            "auxiliary.losses",
            "auxiliary.losses_kwargs",
        ),
        "algorithm/test_own_parts.py::test_the_parts_are_used_and_get_their_options",
    ),
    "ppo.gamma_schedule": "algorithm/test_discount.py::test_the_horizon_follows_the_critic",
    "ppo.max_gamma": "algorithm/test_discount.py::test_it_is_an_oracle_s",
    "ppo.max_gamma_contest": "algorithm/test_discount.py::test_a_contest_allows_a_longer_horizon",
    "ppo.component_gammas": "algorithm/test_discount.py::test_named_components_keep_their_own",
    "ppo.component_mixing": "laws/test_invariance.py::"
    "test_each_critic_is_invariant_to_its_own_scale",
    "ppo.noise": "algorithm/test_exploration.py::"
    "test_neighboring_steps_are_as_alike_as_the_color_says",
    "ppo.reward_outlier": "algorithm/test_rewards.py::"
    "test_with_clipping_the_run_goes_on_as_if_nothing_had_been",
    "balancing.delay": "laws/test_balancers.py::test_curriculum_waits_then_ramps",
    "balancing.ramp": "laws/test_balancers.py::test_curriculum_waits_then_ramps",
    "evaluation.env": "training/test_given_environments.py::"
    "test_evaluation_env_is_where_the_policy_is_played",
    "train.initial_policy": "policies/test_imitation.py::"
    "test_ppo_starts_from_the_actor_and_not_from_the_critic",
    "train.callbacks": "training/test_observers.py::"
    "test_the_configuration_names_callbacks_that_stand_in_a_module",
    "train.callbacks_kwargs": "training/test_callbacks.py::"
    "test_the_configuration_gives_arguments_and_a_resumed_run_has_them",
    "evaluation.max_steps": "policies/test_play.py::"
    "test_a_run_says_that_its_evaluation_was_cut_short",
    "train.mirror": "runs/test_mirror.py::test_the_copy_is_the_run",
    "train.initial_parts": "training/test_fine_tuning.py::"
    "test_critic_and_statistics_go_on_where_the_run_ended",
    "train.grace_seconds": "faults/test_stops.py::test_a_short_batch_is_finished_within_the_grace",
    "logging.trackers": "training/test_trackers.py::test_a_tracker_gets_the_figures_of_the_records",
    "logging.info": "algorithm/test_reported.py::"
    "test_their_number_is_bounded_and_they_can_be_left_out",
    "system.compile": "core/test_choice.py::test_always_and_never_mean_what_they_say",
}

# The setting, what it is changed to, and what it needs to matter.
SEEN: dict[str, tuple[Any, dict[str, Any]]] = {
    "balancing.momentum": (0.5, {"balancing__kind": "running_mean", "balancing__warmup": 0}),
    "balancing.warmup": (0, {"balancing__kind": "running_mean"}),
    "auxiliary.trajectory_horizon": (2, {"auxiliary__trajectory_weight": 1.0}),
    "auxiliary.time_to_end_horizon": (3, {"auxiliary__time_to_end_weight": 1.0}),
}

# Not seen by a short run of the trainer, and held by nothing that names them.
UNTESTED = {
    "env.reset_timeout": "needs an environment that hangs in its first reset for that long",
    "system.device": "needs a second device; the device tests in core/test_gpu.py set it",
}


def made(env: str = "Pendulum-v1", **more: Any) -> Any:
    """A learner whose environments are torch functions."""
    return learner(env, **{"env__backend": "torch", **more})


def after(batches: int = 1, **more: Any) -> dict[str, Any]:
    """The record of the last of these batches."""
    run = made(**more)
    return [run.step() for _ in range(batches)][-1]


def part(run: Any, vector: torch.Tensor, word: str) -> torch.Tensor:
    """The entries of the parameters whose name holds a word."""
    return vector[run.optimizer.flat.mask(lambda name: word in name).bool()]


# ---- discovery


def test_every_setting_is_held_and_none_is_listed_that_is_not_there() -> None:
    names = {name for name, f in known_paths(Config).items() if not is_model(f.annotation)}
    tables = (HELD, ELSEWHERE, SEEN, UNTESTED)
    listed = [name for table in tables for name in table]
    assert not names - set(listed), "a setting without a test: say here what it does"
    assert not set(listed) - names, "no such setting"
    assert len(listed) == len(set(listed)), "listed twice"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_test_that_is_named_exists(name: str) -> None:
    file, _, test = ELSEWHERE[name].partition("::")
    text = (Path(__file__).parents[1] / file).read_text()
    assert test in [n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
    assert name.rpartition(".")[2] in text, "the test, or its fixture, sets it"


@pytest.mark.parametrize("name", SEEN)
def test_what_is_only_seen_changes_the_record(name: str) -> None:
    value, more = SEEN[name]
    # Episodes of 8 steps, so that one ends in each batch.
    short = {"env__kwargs": "{max_episode_steps: 8}", **more}
    runs = [made(**short), made(**short, **{name.replace(".", "__"): value})]
    plain, changed = ([run.step() for _ in range(3)] for run in runs)
    assert [r["total_loss"] for r in plain] != [r["total_loss"] for r in changed]


# ---- env


@holds("env.id", "env.num_envs", "ppo.num_steps")
def test_a_rollout_is_of_that_environment_that_many_and_that_long() -> None:
    for env, size in (("Pendulum-v1", 3), ("CartPole-v1", 4)):
        run = made(env, env__num_envs=6, ppo__num_steps=10)
        assert run.collector(0)[0].obs.shape == (10, 6, size)
        assert run.step()["env_steps"] == 60


@holds("env.backend")
@pytest.mark.parametrize("backend", ["sync", "async", "vector", "torch"])
def test_environments_are_of_the_backend(backend: str) -> None:
    run = learner("CartPole-v1", env__backend=backend)
    assert run.collector.envs.backend == backend
    run.collector.envs.close()


@holds("env.kwargs")
def test_arguments_reach_the_constructor() -> None:
    for backend in ("sync", "torch"):
        found = after(env__backend=backend, env__kwargs="{max_episode_steps: 5}")
        assert found["mean_episode_length"] == 5


@holds("env.reward_scale")
def test_rewards_are_multiplied_and_reports_are_not() -> None:
    one, eight = (
        after(env__reward_scale=scale, env__kwargs="{max_episode_steps: 5}") for scale in (1, 8)
    )
    assert eight["return_mean"] == 8 * one["return_mean"]
    assert eight["mean_episode_return"] == one["mean_episode_return"]


@holds("env.normalize_observations", "env.squash_observations", "env.observation_clip")
def test_the_network_reads_observations_as_the_settings_have_it() -> None:
    obs = torch.randn(1000, 3) * 3 + 1

    def read(**more: Any) -> torch.Tensor:
        normalizer = made(env__calibration_steps=0, **more).objective.agent.normalizer
        normalizer.update(obs, torch.ones(1000))
        return normalizer(obs)

    assert torch.equal(read(env__normalize_observations="false"), obs)
    squashed = read(env__normalize_observations="false", env__squash_observations="symlog")
    torch.testing.assert_close(squashed, obs.sign() * (1 + obs.abs()).log())
    plain, clipped = read(), read(env__observation_clip=0.5)
    torch.testing.assert_close(plain.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(plain.std(0, correction=0), torch.ones(3))
    assert torch.equal(clipped, plain.clamp(-0.5, 0.5)) and float(plain.abs().max()) > 1


@holds("env.observation_scale")
def test_a_rare_value_is_as_large_as_its_scale_has_it() -> None:
    """Of a contact in a hundredth of the samples: 1 / sqrt(p), or the root of 3."""
    obs = torch.zeros(10_000, 3)
    obs[::100] = 7.0
    for scale, size in (("deviation", 10.0), ("tails", 3**0.5)):
        agent = made(env__calibration_steps=0, env__observation_scale=scale).objective.agent
        agent.normalizer.update(obs, torch.ones(10_000))
        assert agent.normalizer(obs)[0, 0].item() == pytest.approx(size, rel=0.02)


@holds("env.calibration_steps")
def test_statistics_start_from_that_many_steps_of_each_environment() -> None:
    for steps in (0, 16, 32):
        count = made(env__calibration_steps=steps).objective.agent.normalizer.count
        assert count.item() == 4 * steps


@holds("env.frame_stack")
def test_an_observation_is_that_many_frames() -> None:
    assert learner("Pendulum-v1", env__frame_stack=3).collector(0)[0].obs.shape[2] == 9


# ---- network


@holds("network.shared_encoder", "network.hidden_sizes", "network.layer_norm")
def test_encoders_are_as_many_as_wide_and_as_normalized_as_set() -> None:
    sizes = {"network__hidden_sizes": "[5, 7]"}
    for shared, layer_norm in (("true", "false"), ("false", "true")):
        agent = made(
            **sizes, network__shared_encoder=shared, network__layer_norm=layer_norm
        ).objective.agent
        widths = [m.out_features for m in agent.modules() if isinstance(m, nn.Linear)]
        assert widths == [5, 7] * (1 if shared == "true" else 2) + [1, 1]
        norms = [m for m in agent.modules() if isinstance(m, nn.LayerNorm)]
        assert len(norms) == (4 if layer_norm == "true" else 0)
    assert after(**APART)["value_gradient_share"] is None
    assert after()["value_gradient_share"] is not None


@holds("network.activation")
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("tanh", torch.tanh),
        ("relu", torch.relu),
        ("elu", nn.functional.elu),
        ("silu", nn.functional.silu),
        ("gelu", nn.functional.gelu),
    ],
)
def test_features_are_the_activation_of_a_linear_layer(name: str, function: Any) -> None:
    encoder = made(network__activation=name).objective.agent.encoder
    x = torch.randn(50, 3)
    linear = next(m for m in encoder.modules() if isinstance(m, nn.Linear))
    torch.testing.assert_close(encoder(x), function(linear(x)))


@holds("network.image_features")
def test_a_convolutional_encoder_ends_with_that_many_units() -> None:
    run = learner("image_env:Picture-v0", network__image_features=11)
    assert run.objective.agent.num_features == 11


@holds("network.memory", "network.memory_size")
def test_an_agent_remembers_in_states_of_that_size() -> None:
    for kind, numbers in (("none", []), ("gru", [6]), ("lstm", [12])):
        states = made(network__memory=kind, network__memory_size=6).collector.states
        assert [state.shape[1] for state in states] == numbers


@holds("network.action_squash", "network.initial_log_std")
def test_wide_actions_leave_their_bounds_unless_they_are_squashed() -> None:
    wide = {"network__initial_log_std": 2.0, "ppo__learning_rate": 1e-12}
    clipped = after(**wide)
    assert clipped["policy_std"] == pytest.approx(torch.tensor(2.0).exp().item())
    assert clipped["action_out_of_bounds_share"] > 0.5
    assert after(**wide, network__action_squash="tanh")["action_out_of_bounds_share"] == 0


# ---- ppo: steps


@holds("ppo.learning_rate", "ppo.learning_rate_schedule")
def test_adam_s_first_step_is_the_learning_rate_long() -> None:
    for rate, schedule, done in (
        (1e-3, "constant", 0.5),
        (4e-3, "linear", 0),
        (8e-3, "linear", 0.75),
    ):
        run = made(**ONE, ppo__learning_rate=rate, ppo__learning_rate_schedule=schedule)
        run.counters["env_steps"] = int(done * 256)
        before = run.optimizer.flat.theta.clone()
        record = run.step()
        now = rate * (1 - done) if schedule == "linear" else rate
        assert record["learning_rate"] == pytest.approx(now)
        moved = (run.optimizer.flat.theta - before).abs().max().item()
        assert moved == pytest.approx(now, rel=0.1)


@holds("ppo.critic_learning_rate")
def test_what_only_the_critic_has_moves_at_its_own_rate() -> None:
    runs = [made(**ONE, **APART, **more) for more in ({}, {"ppo__critic_learning_rate": 4e-3})]
    moves = []
    for run in runs:
        before = run.optimizer.flat.theta.clone()
        run.step()
        moves.append(run.optimizer.flat.theta - before)
    for word, times in (("critic", 4.0), ("actor", 1.0), ("log_std", 1.0)):
        plain, own = (part(run, move, word) for run, move in zip(runs, moves, strict=True))
        assert plain.any()
        torch.testing.assert_close(own, times * plain, rtol=1e-3, atol=1e-7)


@holds("ppo.num_epochs", "ppo.num_minibatches")
def test_a_batch_takes_that_many_gradient_steps() -> None:
    for epochs, minibatches in ((1, 1), (3, 4), (2, 8)):
        run = made(ppo__num_epochs=epochs, ppo__num_minibatches=minibatches)
        run.step()
        assert run.optimizer.steps.item() == epochs * minibatches


@holds("ppo.max_grad_norm", "ppo.clip_gradients")
def test_gradients_are_clipped_to_that_norm_together_or_apart() -> None:
    for norm in (1e-3, 2e-3):
        joint, separate = (
            made(**ONE, **APART, ppo__max_grad_norm=norm, ppo__clip_gradients=kind)
            for kind in ("joint", "separate")
        )
        assert joint.step()["grad_clip_factor"] > 1 and separate.step()
        assert joint.optimizer.first.norm().item() == pytest.approx(WEIGHT * norm, rel=1e-4)
        critic = separate.optimizer.flat.mask(lambda name: "critic" in name).bool()
        for chosen in (critic, ~critic):
            length = separate.optimizer.first[chosen].norm().item()
            assert length == pytest.approx(WEIGHT * norm, rel=1e-4)


@holds("ppo.target_kl")
def test_a_policy_that_moves_too_far_ends_its_batch() -> None:
    fast = {"ppo__learning_rate": 0.05, "ppo__num_epochs": 5}
    for limit, stops in ((1e-6, True), (1e6, False)):
        run = made(**fast, ppo__target_kl=limit)
        run.step()
        assert (run.optimizer.steps.item() < 10) == stops


# ---- ppo: targets


@holds("ppo.gamma", "ppo.gae_lambda")
def test_returns_of_a_reward_of_one_are_the_discounted_steps() -> None:
    """CartPole pays 1 a step; the first critic gives 0 everywhere."""
    for gamma, gae_lambda in ((0.0, 1.0), (0.9, 0.0), (0.5, 1.0), (0.5, 0.5)):
        run = made("CartPole-v1", ppo__gamma=gamma, ppo__gae_lambda=gae_lambda)
        rollout, _ = run.collector(0)
        returns = run.prepare(rollout)[0].returns.view(16, 4)
        assert not rollout.ended[-4:].all()
        factor, expected = gamma * gae_lambda, torch.zeros(4)
        for step in range(15, -1, -1):
            expected = 1 + factor * expected * ~rollout.ended[step]
            torch.testing.assert_close(returns[step], expected)


@holds("ppo.component_weights")
def test_the_policy_learns_from_the_weighted_sum_of_the_components() -> None:
    names = ("progress", "control_effort", "terminal_precision", "success_bonus")

    def advantages(*weights: float) -> torch.Tensor:
        chosen = ", ".join(f"{n}: {w}" for n, w in zip(names, weights, strict=True))
        run = made(
            "DoubleIntegrator-v0", ppo__component_weights=f"{{{chosen}}}",
            ppo__component_mixing="sum", ppo__normalize_advantages="none",
        )  # fmt: skip
        return run.prepare(run.collector(0)[0])[0].advantages

    progress, effort = advantages(1, 0, 0, 0), advantages(0, 1, 0, 0)
    assert progress.any() and effort.any() and not torch.equal(progress, effort)
    torch.testing.assert_close(advantages(2, -3, 0, 0), 2 * progress - 3 * effort)


@holds("ppo.normalize_advantages")
def test_advantages_are_normalized_over_the_batch_the_minibatch_or_not() -> None:
    found = {}
    for kind in ("none", "batch", "global", "minibatch"):
        run = made(ppo__normalize_advantages=kind)
        found[kind] = run.prepare(run.collector(0)[0])[0].advantages
    raw = found["none"]
    torch.testing.assert_close(found["batch"], (raw - raw.mean()) / raw.std(correction=0))
    assert torch.equal(found["minibatch"], raw)
    assert torch.equal(found["global"], found["batch"])  # with one process
    # Over minibatches it is done by the policy's loss: the size of the advantages is then nothing.
    huge = {"env__reward_scale": 2.0**40}
    one = after(ppo__normalize_advantages="minibatch")["policy_loss"]
    assert after(ppo__normalize_advantages="minibatch", **huge)["policy_loss"] == one
    assert after(ppo__normalize_advantages="none", **huge)["policy_loss"] != one


@holds("ppo.reward_scaling")
def test_rewards_are_divided_by_the_deviation_of_their_sum() -> None:
    raw = {"ppo__normalize_returns": "false"}
    for kind, same in (("none", False), ("return_std", True)):
        one, large = (
            after(**raw, ppo__reward_scaling=kind, env__reward_scale=scale)["return_mean"]
            for scale in (1, 1024)
        )
        assert (large == one) == same and (large == 1024 * one) != same


# ---- ppo: the policy's loss


@holds("ppo.clip_epsilon", "ppo.clip_schedule")
def test_ratios_beyond_the_clip_range_count_as_clipped() -> None:
    def clipped(done: float = 0.0, **more: Any) -> float:
        run = made(**more)
        run.counters["env_steps"] = int(done * 256)
        return float(run.step()["clip_fraction"])

    assert clipped(ppo__clip_epsilon=1e-6) > 0.5  # all but the first minibatch
    assert clipped(ppo__clip_epsilon=10.0) == 0.0
    late = {"ppo__clip_epsilon": 0.5, "done": 255 / 256, "ppo__learning_rate": 0.01}
    assert clipped(**late) < 0.2 < clipped(**late, ppo__clip_schedule="linear")


@holds("ppo.entropy_coefficient")
def test_the_entropy_bonus_widens_the_policy() -> None:
    found = [after(ppo__entropy_coefficient=c)["policy_std"] for c in (-10.0, 0.0, 10.0)]
    assert found == sorted(found) and len(set(found)) == 3


# ---- ppo: the critic


@holds("ppo.value_clip", "ppo.use_relative_value_clip")
def test_values_are_clipped_by_the_kind() -> None:
    for relative, kind in (("true", "relative"), ("false", "absolute")):
        loss = made(ppo__use_relative_value_clip=relative).objective.balanced_losses[0]
        assert type(loss.clip) is CLIPS.get(kind)
    for kind in CLIPS.names():
        loss = made(ppo__value_clip=kind).objective.balanced_losses[0]
        assert type(loss.clip) is CLIPS.get(kind)


@holds("ppo.value_clip_epsilon", "ppo.value_clip_floor")
def test_a_wider_clip_and_a_higher_floor_stop_fewer_values() -> None:
    fast = {"ppo__learning_rate": 0.1}

    def stopped(epsilon: float, floor: float) -> float:
        more = {"ppo__value_clip_epsilon": epsilon, "ppo__value_clip_floor": floor}
        return float(after(2, **fast, **more)["value_clip_fraction"])

    assert stopped(1e9, 1.0) == 0 < stopped(1e-9, 1.0)
    assert stopped(1e-3, 1e9) == 0 < stopped(1e-3, 0.0)


@holds("ppo.value_clip_form")
def test_the_plain_form_stops_every_value_that_leaves_the_clip() -> None:
    """The pessimistic form stops those alone that the loss would not draw back."""
    fast = {"ppo__learning_rate": 0.05, "ppo__value_clip_epsilon": 0.05}
    plain, pessimistic = (after(**fast, ppo__value_clip_form=form) for form in FORMS)
    assert plain["value_clip_fraction"] > pessimistic["value_clip_fraction"] > 0
    assert plain["value_loss"] < pessimistic["value_loss"]


@holds("ppo.normalize_returns", "ppo.return_scale", "ppo.return_normalizer")
def test_the_critic_learns_standardized_returns_of_that_scale() -> None:
    for scale in (1.0, 7.0):
        assert after(ppo__return_scale=scale)["target_std"] == pytest.approx(scale, rel=1e-5)
    raw = after(ppo__normalize_returns="false")
    assert (raw["target_mean"], raw["target_std"]) == (raw["return_mean"], raw["return_std"])
    for kind in set(SCALES.names()) - {"identity"}:
        run = made(ppo__return_normalizer=kind, ppo__value_clip="none")
        assert type(run.objective.value_scale) is SCALES.get(kind)


@holds("ppo.return_horizon")
def test_statistics_remember_that_many_batches() -> None:
    for horizon, share in ((1.0, 1.0), (2.0, 0.5), (1e9, 1 / 3)):
        run, means = made(ppo__return_horizon=horizon), []
        for _ in range(3):
            before = run.objective.value_scale.mean.item()
            means.append(run.step()["return_mean"])
        moved = before + share * (means[-1] - before)
        assert run.objective.value_scale.mean.item() == pytest.approx(moved)


@holds("ppo.value_loss_weight", "ppo.value_loss_unit")
def test_the_critic_s_gradient_is_the_weight_long() -> None:
    unclipped = {**ONE, **APART, "ppo__max_grad_norm": 1e9, "ppo__return_scale": 4.0}

    def gradient(**more: Any) -> torch.Tensor:
        run = made(**unclipped, **more)
        record = run.step()
        total = record["policy_loss"] + record["value_loss_weight"] * record["value_loss"]
        assert record["total_loss"] == pytest.approx(total)
        return part(run, run.optimizer.first, "agent.critic.weight")

    quarter, whole = gradient(ppo__value_loss_weight=0.25), gradient(ppo__value_loss_weight=1.0)
    assert float(quarter.norm()) > 1e-3
    torch.testing.assert_close(whole, 4 * quarter)
    network = after(**unclipped, ppo__value_loss_unit="network")
    variance = after(**unclipped)
    assert network["value_loss"] == pytest.approx(16 * variance["value_loss"], rel=1e-5)


@holds("ppo.value_loss")
@pytest.mark.parametrize("kind", HEADS.names())
def test_the_critic_has_the_head_of_its_loss(kind: str) -> None:
    assert type(made(ppo__value_loss=kind).objective.agent.value_head) is HEADS.get(kind)


# ---- balancing, auxiliary


@holds("balancing.kind")
@pytest.mark.parametrize("kind", balancers.REGISTRY.names())
def test_losses_are_weighed_by_the_kind(kind: str) -> None:
    assert type(made(balancing__kind=kind).objective.balancer) is balancers.REGISTRY.get(kind)


@holds(
    "auxiliary.trajectory_weight", "auxiliary.time_to_end_weight", "auxiliary.success_weight",
    "auxiliary.time_to_end_outputs",
)  # fmt: skip
@pytest.mark.parametrize("name", ["trajectory", "time_to_end", "success"])
def test_an_auxiliary_loss_is_learned_with_its_weight(name: str) -> None:
    assert name not in after()["components"]
    assert after(**{f"auxiliary__{name}_weight": 0.3})["components"][name]["weight"] == (
        pytest.approx(0.3)
    )
    if name == "time_to_end":
        more = {"auxiliary__time_to_end_weight": 0.3, "auxiliary__time_to_end_horizon": 9}
        sizes = []
        for outputs in ("scalar", "per_step"):
            run = made(**more, auxiliary__time_to_end_outputs=outputs)
            sizes.append(run.objective.heads[name].out_features)
        assert sizes[0] == 1 < sizes[1]


# ---- imitation


def imitator(**more: Any) -> Imitator:
    """On ten made-up episodes of eight steps."""
    draw = torch.Generator().manual_seed(0)
    env = DoubleIntegrator()
    obs = torch.rand(80, env.observation_space.shape[0], generator=draw)
    actions = torch.where(torch.rand(80, 1, generator=draw) < 0.5, -0.3, 0.3)
    ends = torch.arange(80) % 8 == 7
    data = Demonstrations(obs.numpy(), actions.numpy(), ends.numpy())
    overrides = [f"imitation.{name}={value}" for name, value in more.items()]
    return Imitator(Config.load(None, overrides), data, env.action_space, 4, env)


@holds("imitation.epochs", "imitation.batch_size", "imitation.validation_share")
def test_imitation_passes_that_often_over_what_is_not_held_out() -> None:
    for epochs, size, share, held in ((1, 8, 0.0, 80), (3, 8, 0.2, 16), (2, 32, 0.5, 40)):
        found = imitator(epochs=epochs, batch_size=size, validation_share=share)
        assert found.validation.mask.sum() == held  # with no share, all are shown
        learned = 80 * (1 - share)
        found.train()
        steps = {int(state["step"]) for state in found.optimizer.state.values()}
        assert steps == {epochs * -(-int(learned) // size)}


@holds("imitation.learning_rate", "imitation.max_grad_norm")
def test_imitation_s_first_step_is_the_rate_long_and_its_gradient_is_clipped() -> None:
    for rate, norm in ((1e-3, 1e-2), (5e-3, 2e-2)):
        found = imitator(batch_size=1000, learning_rate=rate, max_grad_norm=norm)
        weight = found.agent.actor.weight
        before = weight.detach().clone()
        assert found.epoch(0)["grad_clip_factor"] > 1
        assert (weight - before).abs().max().item() == pytest.approx(rate, rel=1e-2)
        moments = [state["exp_avg"].norm() for state in found.optimizer.state.values()]
        length = torch.stack(moments).norm().item()
        assert length == pytest.approx(WEIGHT * norm, rel=1e-3)


@holds("imitation.unit", "imitation.trajectory_weight", "imitation.trajectory_horizon")
def test_imitation_weighs_trajectories_and_measures_in_its_unit() -> None:
    raw, own = (imitator(unit=unit).target_variances().item() for unit in ("raw", "deviation"))
    assert own == pytest.approx(1.0, rel=0.1) and raw == pytest.approx(0.09, rel=0.1)
    assert imitator().names == ["actions"]
    found = imitator(trajectory_weight=0.5, trajectory_horizon=3)
    assert found.learning.mask.shape[1] == 3
    assert found.epoch(0)["weights"]["trajectory"] == pytest.approx(0.5)


# ---- train, evaluation, logging, system


def trained(folder: Path, **more: Any) -> Path:
    """The folder of a finished run of four batches."""
    Trainer(settings("Pendulum-v1", env__backend="torch", **more), folder).train()
    return folder / "run0001"


@holds("train.total_timesteps", "train.checkpoint_interval", "train.keep_checkpoints")
def test_a_run_is_that_long_and_saves_that_often(tmp_path: Path) -> None:
    for steps, interval, kept, saved in ((192, 1, 9, [1, 2, 3]), (320, 2, 9, [2, 4, 5]),
                                         (320, 1, 2, [4, 5])):  # fmt: skip
        run = trained(
            tmp_path / f"{steps}-{interval}-{kept}", train__total_timesteps=steps,
            train__checkpoint_interval=interval, train__keep_checkpoints=kept,
            evaluation__interval=0,
        )  # fmt: skip
        assert records(run)[-1]["env_steps"] == steps
        files = sorted((run / "checkpoints").glob("batch_*"))
        assert [int(file.name.split("_")[1].split("-")[0]) for file in files] == saved


@holds("evaluation.interval", "evaluation.episodes")
def test_evaluations_are_that_often_and_that_long(tmp_path: Path) -> None:
    short = {"env__kwargs": "{max_episode_steps: 5}"}
    for interval, batches in ((0, [4]), (1, [1, 2, 3, 4]), (3, [3, 4])):
        run = trained(tmp_path / str(interval), evaluation__interval=interval,
                      evaluation__episodes=3, **short)  # fmt: skip
        found = RunFolder.open(tmp_path / str(interval), run.name).read_json("evaluations.json")
        assert [row["batch"] for row in found] == batches
        assert {row["episodes"] for row in found} == {3}


@holds("evaluation.deterministic")
def test_an_evaluation_plays_the_mode_or_samples(tmp_path: Path) -> None:
    """Of a policy that does not move: with a width of almost nothing both are the same."""
    still = {"ppo__learning_rate": 1e-12, "env__normalize_observations": "false",
             "env__kwargs": "{max_episode_steps: 5}"}  # fmt: skip
    found = {}
    for log_std in (-12.0, 0.0):
        for word in ("true", "false"):
            results = tmp_path / f"{log_std}{word}"
            trained(results, **still, network__initial_log_std=log_std,
                    evaluation__deterministic=word)  # fmt: skip
            rows = RunFolder.open(results, "run0001").read_json("evaluations.json")
            found[log_std, word] = rows[-1]["mean_return"]
    assert found[0.0, "true"] == found[-12.0, "true"]
    assert found[0.0, "false"] != found[0.0, "true"]
    assert found[-12.0, "false"] == pytest.approx(found[-12.0, "true"], rel=1e-3)


@holds("logging.tensorboard", "logging.episodes", "logging.doctor")
def test_files_and_findings_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    files = {"tensorboard": "tensorboard", "episodes": "episodes.csv"}
    ill = {"ppo__learning_rate": 1.0, "train__total_timesteps": 64 * 24,
           "ppo__learning_rate_schedule": "constant", "ppo__target_kl": "null",
           "evaluation__interval": 0}  # fmt: skip
    for word in ("true", "false"):
        all_three = {f"logging__{name}": word for name in (*files, "doctor")}
        run = trained(tmp_path / word, **{**ill, **all_three})
        for file in files.values():
            assert (run / file).exists() == (word == "true"), file
        found = RunFolder.open(tmp_path / word, run.name).read_json("summary.json")["findings"]
        assert ("learning_rate_too_high" in found) == (word == "true")


@holds("system.seed")
def test_a_seed_fixes_a_run_and_another_gives_another() -> None:
    first, again, other = (after(system__seed=seed) for seed in (1, 1, 2))
    assert first["total_loss"] == again["total_loss"] != other["total_loss"]


@holds("system.precision")
def test_encoders_compute_in_the_numbers_that_are_asked_for() -> None:
    for name in ("float32", "bfloat16"):
        run = made(system__precision=name)
        hidden: list[torch.Tensor] = []
        agent = run.objective.agent
        agent.actor.register_forward_pre_hook(lambda _, inputs, kept=hidden: kept.extend(inputs))
        agent.policy_params(run.collector.current)
        rounded = hidden[0].bfloat16().float()
        assert hidden[0].dtype == torch.float32  # heads see float32 in either case
        assert torch.equal(hidden[0], rounded) == (name == "bfloat16")


@holds("system.threads")
def test_torch_computes_with_that_many_threads() -> None:
    before = torch.get_num_threads()
    try:
        for number in (2, 1):
            made(system__threads=number)
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
