"""Imitation: what is learned, what is saved with the policy, and how PPO goes on from it."""

import shlex

import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces

from ppo.cli import main
from ppo.config import Config
from ppo.core import program
from ppo.core.errors import UserError
from ppo.envs.make import make_environments
from ppo.envs.native.double_integrator import DoubleIntegrator
from ppo.losses.balancers import REGISTRY
from ppo.policies.demonstrate import expert_of, record
from ppo.policies.demonstrations import Demonstrations, write
from ppo.policies.imitation import Imitator, cut
from ppo.policies.policy import Policy, load_policy
from ppo.policies.pretrain import pretrain
from ppo.training.fine_tuning import adopt_actor
from ppo.training.opening import adopt_policy
from ppo.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = ["imitation.epochs=4", "imitation.batch_size=128", "evaluation.episodes=16"]


@pytest.fixture(scope="module")
def optimal():
    """100 episodes of the optimal control."""
    config = Config()
    with make_environments(config.env, run_seed=5, device=CPU, num_envs=50) as envs:
        return record(envs, expert_of(config), 100).steps


def imitator_of(data, *overrides):
    config = Config().with_overrides([*SMALL, *overrides])
    env = DoubleIntegrator()
    return Imitator(config, data, env.action_space, 4, env)


def test_segments_cover_every_step_once_and_stay_within_an_episode():
    ends = np.array([0, 0, 1, 0, 0, 0, 0, 1, 1], bool)
    steps = np.arange(9, dtype=np.float32)[:, None]
    parts = cut(Demonstrations(steps, steps, ends), 3)
    rows = [part.obs[..., 0][part.mask > 0].tolist() for part in parts]
    assert rows == [[0, 1, 2], [3, 4, 5, 6, 7], [8]]
    assert all(part.mask.shape[1] == 3 for part in parts)


def test_demonstrated_actions_lead_along_the_demonstrated_observations(optimal):
    imitator = imitator_of(optimal, "imitation.trajectory_weight=1")
    segments = imitator.learning
    reached = imitator._unroll(segments, segments.actions)
    torch.testing.assert_close(reached[:, :-1], segments.obs[:, 1:], atol=2e-3, rtol=0)


def test_perfect_predictions_have_no_loss_and_random_ones_miss_more_in_trajectories(optimal):
    imitator = imitator_of(
        optimal, "imitation.trajectory_weight=1", "imitation.unit=raw", "imitation.batch_size=1500"
    )
    actions, trajectory = imitator.losses(imitator.learning).tolist()
    # Predicting the mean: errors add up along the way, so the trajectory's term is larger.
    assert trajectory > 2 * actions
    variances = imitator.target_variances()
    assert actions == pytest.approx(float(variances[0]), rel=0.2)


@pytest.mark.parametrize("kind", REGISTRY.names())
def test_each_balancer_learns_both_terms(optimal, kind):
    imitator = imitator_of(
        optimal,
        "imitation.trajectory_weight=1",
        f"balancing.kind={kind}",
        "imitation.epochs=6",
        "balancing.delay=1",
        "balancing.ramp=2",
    )
    records = imitator.train()
    for name in ("actions", "trajectory"):
        assert records[-1]["losses"][name] < 0.7 * records[0]["losses"][name]
    assert sum(records[-1]["shares"].values()) == pytest.approx(1.0)


@pytest.mark.parametrize("network", ["action_squash=clip", "action_squash=tanh"])
def test_the_saved_policy_carries_the_statistics_of_observations_and_actions(optimal, network):
    shifted = optimal._replace(actions=optimal.actions * 0.25 + 3.0)
    imitator = imitator_of(shifted, f"network.{network}", "imitation.epochs=40")
    imitator.train()
    env = DoubleIntegrator()
    policy = Policy(imitator.agent, imitator.config, env.observation_space, env.action_space)
    acted = policy.act(torch.as_tensor(shifted.obs)).numpy()
    error = np.square(acted - shifted.actions).mean() / shifted.actions.var()
    assert error < 0.2
    assert imitator.agent.normalizer.count == len(optimal.obs)


def test_folding_the_statistics_changes_no_action(optimal):
    imitator = imitator_of(optimal)
    obs = torch.as_tensor(optimal.obs[:50])
    with torch.no_grad():
        imitator.agent.actor.weight.normal_()
        before = imitator.frame.to_env(imitator.agent.policy_params(obs))
        imitator.frame.fold(imitator.agent.actor)
        distribution = imitator.agent.distribution
        after = distribution.center + distribution.half_range * imitator.agent.policy_params(obs)
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)


def test_choices_are_learned_by_their_likelihood():
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(600, 4)).astype(np.float32)
    actions = (obs[:, :1] > 0).astype(np.int64) + 2
    data = Demonstrations(obs, actions, np.arange(600) % 20 == 19)
    config = Config().with_overrides([*SMALL, "imitation.epochs=20"])
    space = spaces.Discrete(2, start=2)
    imitator = Imitator(config, data, space, 1, None)
    imitator.train()
    policy = Policy(imitator.agent, config, spaces.Box(-9, 9, (4,)), space)
    assert (policy.act(torch.as_tensor(obs)).numpy() == actions[:, 0]).mean() > 0.95


def test_ppo_starts_from_the_actor_and_not_from_the_critic(optimal, tmp_path):
    write(tmp_path / "d.npz", optimal)
    config = Config().with_overrides([*SMALL, "env.num_envs=16", "ppo.num_minibatches=4"])
    run = pretrain(config, tmp_path / "d.npz", tmp_path / "runs").folder.name
    source = load_policy(run, tmp_path / "runs")
    trainer = Trainer(config.with_overrides([f"train.initial_policy={run}"]), tmp_path / "runs")
    adopt_policy(trainer.learner, trainer.config, trainer.initial_policy)
    trainer.learner.start()
    agent = trainer.learner.objective.agent
    obs = torch.as_tensor(optimal.obs[:40])
    assert torch.equal(agent.policy_params(obs), source.agent.policy_params(obs))
    assert torch.equal(agent.distribution.log_std, source.agent.distribution.log_std)
    assert not agent.critic.weight.any()
    trainer.learner.step()
    moved = (agent.normalizer.mean - source.agent.normalizer.mean).abs()
    assert (moved < 1e-3 * source.agent.normalizer.exact_variance.sqrt()).all()
    whole = trainer.config.with_overrides(["train.initial_parts=all"])
    with pytest.raises(UserError, match="comes from --mode pretrain and has no critic"):
        adopt_policy(trainer.learner, whole, trainer.initial_policy)


@pytest.mark.parametrize(
    "setting", ["network.hidden_sizes=[32, 32]", "env.observation_scale=tails"]
)
def test_another_network_is_refused(optimal, setting):
    agents = [imitator_of(optimal).agent, imitator_of(optimal, setting).agent]
    for agent, other in (agents, agents[::-1]):
        with pytest.raises(ValueError, match="its network differs in"):
            adopt_actor(agent, other, "run0001")


def test_the_command_saves_a_run_that_evaluate_and_train_can_use(optimal, tmp_path, capsys):
    write(tmp_path / "d.hdf5", optimal)
    flags = ["--results", str(tmp_path), *(f"--set={o}" for o in SMALL)]
    assert main(["--mode", "pretrain", "--data", str(tmp_path / "d.hdf5"), *flags]) == 0
    out = capsys.readouterr().out
    assert "final error" in out and "train.initial_policy=run0001" in out
    assert main(["--mode", "evaluate", "--results", str(tmp_path), "--episodes", "4"]) == 0
    start = ["--set", "train.initial_policy=run0001", "--set", "env.num_envs=16"]
    kept = [flag for flag in flags if "=imitation." not in flag]
    assert main(["--mode", "single_batch", *kept, *start, "--quiet"]) == 0


def test_the_next_step_can_be_typed_as_it_is_printed(optimal, tmp_path, capsys):
    write(tmp_path / "d.npz", optimal)
    given = ["env.id=DoubleIntegrator-v0", "env.num_envs=16"]
    results = tmp_path / "all runs"
    flags = ["--results", str(results), *(f"--set={o}" for o in [*SMALL, *given])]
    assert (
        main(["--mode", "pretrain", "--data", str(tmp_path / "d.npz"), *flags, "--seed", "3"]) == 0
    )
    line = capsys.readouterr().out.splitlines()[-1]
    told, _, command = line.partition(": ")
    words = shlex.split(command)
    assert told == "go on from it" and words[:4] == [
        *program.started_as().split(),
        "--mode",
        "train",
    ]
    assert "--set env.id=DoubleIntegrator-v0" in command and "imitation." not in command
    assert main([*words[2:], "--quiet", "--set", "train.total_timesteps=500"]) == 0
    config = Config.load_run(results / "run0002" / "config.yaml")[0]
    assert config.env.num_envs == 16 and config.system.seed == 3
    assert config.train.initial_policy == "run0001"


def test_its_file_of_settings_shows_what_auto_was(optimal, tmp_path):
    write(tmp_path / "d.npz", optimal)
    flags = ["--data", str(tmp_path / "d.npz"), "--results", str(tmp_path), "--quiet"]
    assert main(["--mode", "pretrain", *flags, *(f"--set={o}" for o in SMALL)]) == 0
    settings = yaml.safe_load((tmp_path / "run0001" / "config.yaml").read_text())
    shown = [
        settings["env"]["backend"], settings["network"]["encoder"], settings["ppo"]["value_clip"],
        settings["system"]["device"], settings["system"]["compile"],
    ]  # fmt: skip
    assert shown == ["torch", "mlp", "relative", "cpu", "never"]


def test_a_folder_that_takes_no_run_shows_before_the_first_epoch(optimal, tmp_path, capsys):
    write(tmp_path / "d.npz", optimal)
    (tmp_path / "file").touch()
    flags = ["--data", str(tmp_path / "d.npz"), "--results", str(tmp_path / "file" / "runs")]
    assert main(["--mode", "pretrain", *flags, *(f"--set={o}" for o in SMALL)]) == 2
    out, err = capsys.readouterr()
    assert "epoch" not in out and "cannot create a run folder there" in err


def test_a_setting_of_ppo_alone_is_refused(tmp_path, capsys):
    setting = "ppo.learning_rate=1e-3"
    assert main(["--mode", "pretrain", "--data", "d.npz", "--set", setting]) == 2
    assert f"--set {setting}: --mode pretrain does not use it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--data", "missing.npz"],
        ["--data", "d.npz", "--set", "env.id=CartPole-v1"],
        ["--data", "d.npz", "--set", "imitation.trajectory_weight=1", "--set", "env.backend=sync"],
        ["--data", "d.npz", "--set", "imitation.epochs=0"],
    ],
)
def test_wrong_flags_end_with_2_and_one_line(optimal, tmp_path, monkeypatch, capsys, flags):
    monkeypatch.chdir(tmp_path)
    write("d.npz", optimal)
    assert main(["--mode", "pretrain", *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "defaults" not in line]
    assert len(errors) == 1 and errors[0].startswith("error: ")
    assert not (tmp_path / "training_results").exists()
