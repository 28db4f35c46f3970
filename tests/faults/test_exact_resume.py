"""A resume in another process is exact for every kind of environment, or it says why not."""

from __future__ import annotations

import importlib.util
import random
import signal
import time

import pytest
from trials import assert_same, command, result, resuming

from ppo.runs.folder import RunFolder

BATCHES = 9
CLASSIC = ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"]
MUJOCO = [
    f"{name}-v5" for name in (
        "HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid", "HumanoidStandup", "Swimmer",
        "Reacher", "Pusher", "InvertedPendulum", "InvertedDoublePendulum",
    )
]  # fmt: skip
OTHERS = {
    "minigrid": "minigrid:MiniGrid-Empty-5x5-v0",
    "highway_env": "highway_env:highway-fast-v0",
    "Box2D": "LunarLander-v3",
}
DRIFT = {"env__id": "drift_env:Drift-v0", "env__backend": "vector"}


def cases():
    pink = {"env__id": "DoubleIntegrator-v0", "ppo__noise": "pink"}
    yield pytest.param(pink, id="torch")
    short = {"env__id": "Pendulum-v1", "env__kwargs": "{max_episode_steps: 9}"}
    yield pytest.param({**short, "ppo__noise": "contest"}, id="contest of noises")
    follows = {"ppo__gamma_schedule": "critic", "ppo__gamma": 0.5}
    yield pytest.param({"env__id": "CartPole-v1", **follows}, id="discount of episodes")
    steered = {"train__callbacks": "['stateful:Stateful']"}
    yield pytest.param({"env__id": "CartPole-v1", **steered}, id="callback")
    levels = {"env__id": "curriculum_env:Curriculum-v0", "train__callbacks": "['stateful:Harder']"}
    yield pytest.param(levels, id="curriculum")
    own = {
        "network__encoder": "own_parts:Residual", "ppo__value_loss": "own_parts:Expectile",
        "ppo__return_normalizer": "own_parts:Slow", "ppo__value_clip": "own_parts:Shrinking",
        "balancing__kind": "own_parts:Even", "network__memory": "own_parts:Leaky",
        "auxiliary__losses": "['own_parts:NextReward']",
        "auxiliary__losses_kwargs": "{NextReward: {weight: 0.1}}",
    }  # fmt: skip
    yield pytest.param({"env__id": "CartPole-v1", **own}, id="own parts")
    once = {"env__id": "simulators:Saving", **steered}
    yield pytest.param(once, id="simulator")
    yield pytest.param({**once, **own}, id="simulator with own parts", marks=pytest.mark.slow)
    several = {"env__id": "env_forms:make_all", **steered}
    yield pytest.param(several, id="vector environment", marks=pytest.mark.slow)
    for env in CLASSIC:
        marks = () if env in ("Acrobot-v1",) else pytest.mark.slow
        yield pytest.param({"env__id": env}, id=env, marks=marks)
    yield pytest.param({"env__id": "CartPole-v1", "env__backend": "vector"}, id="vector",
                       marks=pytest.mark.slow)  # fmt: skip
    for package, envs in {"mujoco": MUJOCO, **{k: [v] for k, v in OTHERS.items()}}.items():
        missing = importlib.util.find_spec(package) is None
        for env in envs:
            marks = [pytest.mark.slow, pytest.mark.skipif(missing, reason=f"no {package}")]
            yield pytest.param({"env__id": env}, id=env, marks=marks)


def stop(zygote, results, number, draw, **more):
    """Stopped or killed somewhere in its next three batches."""
    trial = zygote.start(resuming(results, BATCHES, **more))
    trial.until(draw.choice(["collect", "update"]), draw.randint(2, 4))
    time.sleep(draw.uniform(0, 0.003))
    trial.send(number)
    return trial.wait()


@pytest.mark.parametrize("more", cases())
def test_stopped_and_killed_it_is_the_run_that_went_through(zygote, tmp_path, more):
    more = {**more, "evaluation__interval": 0, "evaluation__episodes": 1}
    status, errors = zygote.run(command(tmp_path / "whole", BATCHES, **more))
    assert status == 0, errors
    stopped, draw = tmp_path / "stopped", random.Random(5)
    assert stop(zygote, stopped, signal.SIGTERM, draw, **more) == 143
    stop(zygote, stopped, signal.SIGKILL, draw, **more)
    status, errors = zygote.run(resuming(stopped, BATCHES, **more))
    assert status == 0, errors
    whole = result(tmp_path / "whole")
    assert_same(result(stopped), whole)
    if more.get("ppo__noise") == "contest":  # the test is worth nothing unless the share moved
        assert len({record["colored_share"] for record in whole["records"]}) > 2


def test_without_a_state_a_killed_run_goes_on_exactly_from_its_checkpoint(zygote, tmp_path):
    """Evaluations that save the best policy come between the regular checkpoints."""
    assert zygote.run(command(tmp_path / "whole", 20, **DRIFT))[0] == 0
    whole = result(tmp_path / "whole")
    assert "state cannot be saved" in whole["records"][0]["events"][0]
    killed = tmp_path / "killed"
    for batches in (6, 5, 9):
        trial = zygote.start(resuming(killed, 20, **DRIFT))
        trial.until("metrics", batches)
        trial.send(signal.SIGKILL)
        trial.wait()
    assert zygote.run(resuming(killed, 20, **DRIFT))[0] == 0
    assert_same(result(killed), whole)


def test_without_a_state_a_stop_between_checkpoints_is_declared(zygote, tmp_path):
    trial = zygote.start(command(tmp_path, 10**6, **DRIFT, train__checkpoint_interval=1000))
    assert trial.until("collect", 3)
    trial.send(signal.SIGTERM)
    assert trial.wait() == 143
    batches = len(RunFolder.open(tmp_path, "latest").records())
    assert zygote.run(resuming(tmp_path, batches + 2, **DRIFT))[0] == 0
    records = RunFolder.open(tmp_path, "latest").records()
    told = [r["batch"] for r in records for e in r["events"] if "episodes began anew" in e]
    assert told == [batches]


def test_an_environment_that_is_not_deterministic_is_declared(zygote, tmp_path):
    more = {"env__id": "random_env:Random-v0", "env__calibration_steps": 0}
    trial = zygote.start(command(tmp_path, 10**6, **more))
    assert trial.until("collect", 3)
    trial.send(signal.SIGTERM)
    assert trial.wait() == 143
    batches = len(RunFolder.open(tmp_path, "latest").records())
    assert zygote.run(resuming(tmp_path, batches + 2, **more))[0] == 0
    record = RunFolder.open(tmp_path, "latest").records()[batches]
    assert any("is not deterministic" in event for event in record["events"])
