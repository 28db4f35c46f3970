"""A training killed again and again ends as the one that nobody touched, bit for bit."""

from __future__ import annotations

import collections
import random
import signal
import time

import pytest
from trials import assert_readable, assert_same, command, result, resuming

AIMS = ("anywhere", "metrics", "checkpoint", "collect", "update", "evaluation")


def kill_until_done(zygote, results, batches, draw, most, **more):
    """SIGKILLs, each at another instant, until `most` or the end; where they landed."""
    landed: collections.Counter[str] = collections.Counter()
    while landed.total() < most:
        trial = zygote.start(resuming(results, batches, **more))
        aim = draw.choice(AIMS)
        if aim == "anywhere":
            time.sleep(draw.uniform(0.02, 0.5))
        else:
            trial.until(aim, draw.randint(1, 2 if aim == "evaluation" else 4))
            time.sleep(draw.uniform(0.0, 0.002 if aim in ("metrics", "checkpoint") else 0.01))
        if trial.is_over():
            assert trial.wait() == 0, trial.stderr
            break
        trial.send(signal.SIGKILL, group=True)
        assert trial.wait() == -signal.SIGKILL
        landed[trial.phase] += 1
        assert_readable(results)
    return landed


def finish(zygote, results, batches, **more):
    status, errors = zygote.run(resuming(results, batches, **more))
    assert status == 0, errors
    return result(results)


@pytest.fixture(scope="module")
def undisturbed(zygote, tmp_path_factory):
    """Results of runs that nobody touched, made once for each environment and length."""
    made = {}

    def run(batches, **more):
        key = (batches, *more.items())
        if key not in made:
            results = tmp_path_factory.mktemp("undisturbed")
            status, errors = zygote.run(command(results, batches, **more))
            assert status == 0, errors
            made[key] = result(results)
        return made[key]

    return run


STEERED = {"train__callbacks": "['stateful:Stateful']"}
OWN = {"network__encoder": "own_parts:Residual", "ppo__return_normalizer": "own_parts:Slow"}


@pytest.mark.parametrize(
    "more",
    [
        {"env__id": "DoubleIntegrator-v0"},
        {"env__id": "CartPole-v1"},
        pytest.param({"env__id": "simulators:Saving", **STEERED, **OWN}, marks=pytest.mark.slow),
        pytest.param({"env__id": "env_forms:make_all", **STEERED, **OWN}, marks=pytest.mark.slow),
    ],
    ids=lambda more: more["env__id"],
)
def test_a_run_killed_three_times_ends_as_the_one_left_alone(zygote, undisturbed, tmp_path, more):
    landed = kill_until_done(zygote, tmp_path, 20, random.Random(1), 3, **more)
    assert landed.total() > 0
    assert_same(finish(zygote, tmp_path, 20, **more), undisturbed(20, **more))


@pytest.mark.slow
def test_two_hundred_random_kills_change_no_bit(zygote, undisturbed, tmp_path):
    draw = random.Random(7)
    landed: collections.Counter[str] = collections.Counter()
    runs = 0
    envs = ["DoubleIntegrator-v0", "CartPole-v1", "Pendulum-v1"]
    while landed.total() < 200 or any(
        landed[phase] < 10 for phase in ("collect", "update", "metrics", "checkpoint")
    ):
        more = {"env__id": envs[runs % 3], "logging__tensorboard": "true"}
        results = tmp_path / str(runs)
        landed += kill_until_done(zygote, results, 120, draw, 40, **more)
        assert_same(finish(zygote, results, 120, **more), undisturbed(120, **more))
        runs += 1
    print(f"{landed.total()} kills in {runs} runs, all bit-identical; landed in {dict(landed)}")
