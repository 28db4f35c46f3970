"""A run from start to folder: the contract of its files, and a resume that changes no bit."""

import json
import math
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ppo import Config, Trainer, evaluate, load_policy
from ppo.algorithm.automatic import chosen
from ppo.cli import main
from ppo.core.errors import UserError
from ppo.core.metrics import DECLARED
from ppo.core.signals import Grace

ROOT = Path(__file__).parents[2]

REQUIRED = """
batch env_steps episodes wall_time_s steps_per_second total_loss policy_loss value_loss
entropy value_loss_weight entropy_coefficient normalized_value_loss explained_variance approx_kl
clip_fraction value_clip_fraction grad_norm grad_clip_factor grad_clipped_fraction
value_gradient_share mean_episode_return mean_episode_length success_rate return_mean return_std
return_min return_max target_mean target_std target_min target_max max_sample_value_loss
learning_rate policy_std components events""".split()
CLOCK = {"wall_time_s", "steps_per_second"}


def small(env="DoubleIntegrator-v0", batches=6, **more):
    overrides = {
        "env.id": env, "env.num_envs": 4, "ppo.num_steps": 20, "ppo.num_minibatches": 4,
        "ppo.num_epochs": 2, "train.total_timesteps": 80 * batches, "train.checkpoint_interval": 2,
        "evaluation.interval": 3, "evaluation.episodes": 4, "env.calibration_steps": 16,
        "network.hidden_sizes": "[16, 16]", **more,
    }  # fmt: skip
    return Config.from_dict({}, [f"{key}={value}" for key, value in overrides.items()])


def records(folder):
    text = (folder / "loss_metrics.json").read_text()
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"not JSON: {word}"))


def plain(record):
    return {key: value for key, value in record.items() if key not in CLOCK}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    trainer = Trainer(small(), results)
    trainer.returned = trainer.train()
    return trainer, results / "run0001"


def test_every_field_of_the_contract_is_there(finished):
    _, folder = finished
    log = records(folder)
    assert log["schema_version"] == 1 and log["run"] == "run0001"
    assert [record["batch"] for record in log["batches"]] == list(range(6))
    for record in log["batches"]:
        assert set(REQUIRED) <= set(record)
        assert set(record) == set(DECLARED) | {"components", "events"}


def test_the_total_is_the_sum_of_its_parts(finished):
    _, folder = finished
    for r in records(folder)["batches"]:
        total = r["policy_loss"] + r["value_loss_weight"] * r["value_loss"]
        total -= r["entropy_coefficient"] * r["entropy"]
        assert r["total_loss"] == pytest.approx(total, rel=1e-5)


def test_the_first_ratio_is_one(finished):
    _, folder = finished
    assert all(r["ratio_first"] < 1e-5 for r in records(folder)["batches"])


def test_a_run_folder_is_whole(finished):
    trainer, folder = finished
    names = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "loss_metrics.json", "summary.json", "checkpoints", "tensorboard",
            "episodes.csv", "command.txt", "provenance.json"} <= names  # fmt: skip
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "finished" and summary["env_steps"] == 480
    assert trainer.returned == summary
    asked = small().with_overrides(["env.double_precision=[]"])  # as the environments decide
    assert Config.load(folder / "config.yaml") == chosen(asked)[0]
    rows = (folder / "episodes.csv").read_text().splitlines()
    assert len(rows) - 1 == records(folder)["batches"][-1]["episodes"]


def test_a_policy_reads_raw_observations_and_gives_environment_actions(finished):
    trainer, folder = finished
    policy = load_policy(folder, which="latest")
    observation = trainer.envs.observation_space.sample()
    action = policy.predict(observation)
    assert trainer.envs.action_space.contains(action)
    assert np.array_equal(action, policy.predict(observation))
    agent = trainer.learner.objective.agent
    flat = torch.as_tensor(observation).unsqueeze(0)
    expected = agent.distribution.to_env(agent.distribution.mode(agent.policy_params(flat)))
    torch.testing.assert_close(torch.as_tensor(action), expected[0].detach())


# Before the first checkpoint, between two and at one.
STOPS = {"DoubleIntegrator-v0": (1, 3, 4), "CartPole-v1": (3,), "Pendulum-v1": (3,)}


@pytest.mark.parametrize("env", STOPS)
def test_a_resumed_run_is_the_run_that_was_never_stopped(tmp_path, env):
    whole = Trainer(small(env), tmp_path / "a")
    whole.train()
    want, state = records(tmp_path / "a" / "run0001"), whole.learner.state_dict()
    for stop in STOPS[env]:
        results = tmp_path / str(stop)
        Trainer(small(env), results).train(batches=stop)
        torch.manual_seed(999)  # nothing may depend on what the process did before
        np.random.seed(7)
        second = Trainer(small(env), results, resume="run0001")
        second.train()
        got = records(results / "run0001")
        assert [plain(r) for r in got["batches"]] == [plain(r) for r in want["batches"]], stop
        for name, tensor in state.items():
            assert torch.equal(tensor, second.learner.state_dict()[name]), (stop, name)


BACKENDS = [
    ("DoubleIntegrator-v0", "torch"), ("CartPole-v1", "torch"), ("CartPole-v1", "vector"),
    ("Pendulum-v1", "sync"), ("Pendulum-v1", "async"), ("drift_env:Drift-v0", "vector"),
]  # fmt: skip


@pytest.mark.parametrize(("env", "backend"), BACKENDS)
def test_train_again_goes_on_as_if_it_had_never_ended(tmp_path, env, backend):
    workers = {"env.workers": 1} if backend == "async" else {}
    config = small(env, **{"env.backend": backend}, **workers)
    with Trainer(config, tmp_path / "a") as whole:
        whole.train(batches=4)
        state = {name: tensor.clone() for name, tensor in whole.learner.state_dict().items()}
    with Trainer(config, tmp_path / "b") as again:
        first = again.train(batches=2)
        assert first["batches"] == 2 and first["status"] == "finished"
        torch.manual_seed(999)  # nothing may depend on what happens in between
        np.random.seed(7)
        assert again.train(batches=2)["batches"] == 4
        assert_same_runs(tmp_path)
        for name, tensor in again.learner.state_dict().items():
            assert torch.equal(tensor, state[name]), name


def assert_same_runs(tmp_path):
    a, b = tmp_path / "a" / "run0001", tmp_path / "b" / "run0001"
    want, got = records(a)["batches"], records(b)["batches"]
    assert [plain(r) for r in got] == [plain(r) for r in want]
    for name in ("episodes.csv", "evaluations.json"):
        files = [folder / name for folder in (a, b) if (folder / name).exists()]
        assert len(files) != 1 and len({file.read_text() for file in files}) < 2, name


def test_batches_and_a_total_are_steps_on_the_same_way(tmp_path):
    """Evaluations fall where they fall in a run that goes through."""
    with Trainer(small(), tmp_path / "a") as whole:
        whole.train()
    with Trainer(small(), tmp_path / "b") as parts:
        parts.train(batches=3)
        assert [row["batch"] for row in parts.evaluations] == [3]
        assert parts.train(total_timesteps=80 * 4 - 1)["env_steps"] == 80 * 4
        assert parts.train()["env_steps"] == 480
    with Trainer(small(), tmp_path / "b", resume=parts.folder.path) as parts:
        again = parts.train()
        assert again["env_steps"] == 480, "nothing is left to do"
    assert Path(parts.folder) == tmp_path / "b" / "run0001"
    assert again["best_evaluation"] == whole.evaluated.best
    records_of = [records(tmp_path / x / "run0001")["batches"] for x in "ab"]
    assert [plain(r) for r in records_of[0]] == [plain(r) for r in records_of[1]]


def test_train_takes_batches_or_a_total(tmp_path):
    with Trainer(small(), tmp_path) as trainer:
        with pytest.raises(UserError, match="batches.*total_timesteps"):
            trainer.train(batches=1, total_timesteps=80)
        wrong = [("batches", x) for x in (0, 1.5, True, "3")]
        wrong += [("total_timesteps", x) for x in (-1, float("nan"), float("inf"), 80.5)]
        for name, value in wrong:
            with pytest.raises(UserError, match=f"{name}: {value!r}; allowed: a whole number"):
                trainer.train(**{name: value})
        assert trainer.train(total_timesteps=8e1)["env_steps"] == 80


def test_train_goes_on_after_a_signal_in_the_middle_of_a_batch(tmp_path, monkeypatch):
    settings = {"train.grace_seconds": 0}
    with Trainer(small("Pendulum-v1", **settings), tmp_path / "a") as whole:
        whole.train(batches=4)
    with Trainer(small("Pendulum-v1", **settings), tmp_path / "b") as stopped:
        polls = iter(range(10**9))

        def poll(grace):
            if next(polls) == 70:  # in the second batch
                signal.raise_signal(signal.SIGTERM)
            original(grace)

        original = Grace.__call__
        with monkeypatch.context() as patch:
            patch.setattr(Grace, "__call__", poll)
            summary = stopped.train(batches=4)
        assert summary["status"] == "interrupted" and 0 < summary["batches"] < 4
        assert stopped.train(batches=4 - summary["batches"])["status"] == "finished"
        assert stopped.exit_status == 0
    assert_same_runs(tmp_path)


def test_a_run_that_failed_is_resumed_and_not_trained_again(tmp_path, monkeypatch):
    with Trainer(small(), tmp_path) as trainer:
        trainer.train(batches=1)
        with monkeypatch.context() as patch:
            patch.setattr(trainer.learner, "step", lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                trainer.train(batches=1)
        with pytest.raises(UserError, match="failed.*resume"):
            trainer.train(batches=1)


def test_evaluate_is_the_evaluation_of_the_command_line(tmp_path, capsys):
    with Trainer(small("Pendulum-v1"), tmp_path) as trainer:
        trainer.train(batches=2)
        before = {name: tensor.clone() for name, tensor in trainer.learner.state_dict().items()}
        found = trainer.evaluate(episodes=5)
        for name, tensor in trainer.learner.state_dict().items():
            assert torch.equal(tensor, before[name]), name
    words = ["--run", "run0001", "--which", "latest", "--episodes", "5", "--json"]
    assert main(["--mode", "evaluate", "--results", str(tmp_path), *words]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_an_evaluation_has_an_episode(tmp_path):
    with Trainer(Config.load(overrides=["env.id=CartPole-v1"]), tmp_path) as trainer:
        for found in (trainer.evaluate, partial(evaluate, trainer.policy)):
            for episodes in (0, -1):
                with pytest.raises(UserError, match=f"^evaluate: episodes: {episodes}; allow"):
                    found(episodes=episodes)


def test_the_shipped_configuration_needs_no_file(tmp_path, monkeypatch):
    shipped = Config.load(ROOT / "config.yaml")
    monkeypatch.chdir(tmp_path)
    assert Config() == Config.load() == shipped
    changed = Config.load(overrides=["ppo.gamma=0.5"])
    assert changed.ppo.gamma == 0.5 and changed.with_overrides(["ppo.gamma=0.99"]) == shipped


def test_a_finished_run_goes_on_with_more_steps(tmp_path):
    long = Trainer(small(batches=6), tmp_path / "a")
    long.train()
    Trainer(small(batches=3), tmp_path / "b").train()
    resumed = Trainer(small(batches=6), tmp_path / "b", resume="latest")
    resumed.train()
    theta = [t.learner.optimizer.flat.theta for t in (long, resumed)]
    assert torch.equal(*theta)


@pytest.mark.parametrize("backend", ["async", "vector"])
def test_backends_give_the_same_records(tmp_path, backend):
    logs = []
    for i, kind in enumerate(["sync", backend]):
        trainer = Trainer(small("CartPole-v1", 4, **{"env.backend": kind}), tmp_path / str(i))
        trainer.train()
        logs.append([plain(r) for r in records(tmp_path / str(i) / "run0001")["batches"]])
    assert logs[0] == logs[1]


def test_reward_scale_changes_no_reported_return(tmp_path):
    logs = []
    for i, scale in enumerate([1.0, 2.0**20]):
        Trainer(small(batches=4, **{"env.reward_scale": scale}), tmp_path / str(i)).train()
        logs.append(records(tmp_path / str(i) / "run0001")["batches"])
    reward_units = {"return_mean", "return_std", "return_min", "return_max"}
    for a, b in zip(*logs, strict=True):
        for key in set(a) - CLOCK - {"events"}:
            if key in reward_units:
                assert b[key] == a[key] * 2.0**20
            else:
                assert a[key] == b[key], key


def test_a_non_finite_gradient_is_skipped_and_told(tmp_path, monkeypatch):
    trainer = Trainer(small(batches=2), tmp_path)
    update = trainer.learner.update
    calls, original = [], update._step

    def poisoned(batch, index, knobs):
        calls.append(1)
        if len(calls) == 3:
            batch = batch._replace(advantages=batch.advantages * math.nan)
        return original(batch, index, knobs)

    monkeypatch.setattr(update, "_step", poisoned)
    trainer.train()
    first = records(tmp_path / "run0001")["batches"][0]
    assert first["skipped_minibatches"] == 1
    assert any("minibatches skipped" in event for event in first["events"])
    assert torch.isfinite(trainer.learner.optimizer.flat.theta).all()


@pytest.mark.parametrize("mode", ["true", "false"])
def test_evaluations_of_one_policy_agree(tmp_path, mode):
    """They play the same episodes, so the best policy is not the one with the luckiest starts."""
    still = small(
        **{
            "ppo.learning_rate": 1e-30,
            "env.normalize_observations": "false",
            "evaluation.deterministic": mode,
        }
    )
    Trainer(still, tmp_path).train()
    found = json.loads((tmp_path / "run0001" / "evaluations.json").read_text())
    assert len(found) == 2 and found[0]["batch"] != found[1]["batch"]
    own = ("batch", "env_steps")
    one, other = ({k: v for k, v in row.items() if k not in own} for row in found)
    assert one == other
    assert "best_000006" in " ".join(path.name for path in (tmp_path / "run0001").rglob("best*"))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("cartpole", r"'cartpole' is no configuration; give a Config, .*Config.load\('cartpole'\)"),
        (Path("a.yaml"), r"'a.yaml' is no configuration; give a Config, .*Config.load\('a.yaml'\)"),
        ({"env": {}}, r"a dict is no configuration; give a Config, .*Config.from_dict\(\.\.\.\)"),
        (None, r"None is no configuration; give a Config, .*Config.load\(\)"),
        (Config, r"the class Config is no configuration; give a Config, .*Config.load\(\)"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path, given, why):
    with pytest.raises(UserError, match=f"^Trainer: {why}$") as found:
        Trainer(given, tmp_path)
    assert len(found.value.messages) == 1 and not any(tmp_path.iterdir())
