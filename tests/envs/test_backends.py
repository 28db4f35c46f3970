"""Whatever steps the environments, the trainer sees the same bits, also after a restore."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import assert_same_bits, make, play, random_actions

from ppo.core.errors import EnvironmentFault, RunError
from ppo.envs import episode_seed
from ppo.envs.workers import inquiry

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("env_id", "steps"),
    [
        ("CartPole-v1", 300),
        ("Pendulum-v1", 210),
        ("sick_env:Sick-v0", 60),
        ("sick_env:Parts-v0", 9),
    ],
)
def test_workers_change_no_bit(env_id, steps):
    alone = make(env_id, "sync", 5)
    first = alone.reset()
    actions = random_actions(alone, steps)
    expected = play(alone, actions)
    kinds = [("async", 1), ("async", 2)] + [("shared", 3)] * env_id.startswith("sick")
    for backend, workers in kinds:
        with make(env_id, backend, 5, workers=workers) as envs:
            assert (envs.backend, len(envs._workers)) == ("async", min(workers, 2))
            assert envs.component_names == alone.component_names
            assert torch.equal(envs.reset(), first)
            assert_same_bits(play(envs, actions), expected)
            assert envs.events == []
    if env_id != "sick_env:Parts-v0":
        assert sum(int((s.terminated | s.truncated).sum()) for s in expected) >= 5


@pytest.mark.parametrize("env_id", ["CartPole-v1", "sick_env:Sick-v0"])
def test_every_episode_is_what_gymnasium_plays_from_its_seed(env_id):
    """The slow oracle: one environment alone, reset by hand with the seed of each episode."""
    envs = make(env_id, "sync", 3, seed=5, first_index=2)
    obs = envs.reset()
    actions = random_actions(envs, 50)
    steps = play(envs, actions)
    for env in range(3):
        alone = gym.make(env_id.split(":")[-1], disable_env_checker=True)
        episode = 0
        seen, _ = alone.reset(seed=episode_seed(5, 2 + env, 0))
        np.testing.assert_array_equal(seen, obs[env])
        for action, step in zip(actions, steps, strict=True):
            seen, reward, terminated, truncated, info = alone.step(action[env].numpy())
            np.testing.assert_array_equal(seen, step.final_obs[env])
            assert np.float32(reward) == step.rewards[env, 0]
            assert (terminated, truncated) == (step.terminated[env], step.truncated[env])
            if terminated or truncated:
                episode += 1
                seen, _ = alone.reset(seed=episode_seed(5, 2 + env, episode))
                known = info.get("is_success")
                assert step.success[env].isnan() if known is None else step.success[env] == known
            else:
                assert step.success[env].isnan()
            np.testing.assert_array_equal(seen, step.obs[env])
        assert episode >= 1


def test_a_time_limit_gives_the_state_reached_and_is_no_termination():
    envs = make("Pendulum-v1", "sync", 2, kwargs={"max_episode_steps": 4})
    assert envs.max_episode_steps == 4
    envs.reset()
    steps = play(envs, random_actions(envs, 8))
    for number, step in enumerate(steps, start=1):
        assert not step.terminated.any()
        assert step.truncated.all() == (number % 4 == 0)
        assert torch.equal(step.obs, step.final_obs) == (number % 4 != 0)
    speed = steps[3].final_obs[:, 2].abs()
    assert (steps[3].obs[:, 2].abs() <= 1).all() and (speed > 1).any()


def test_seeds_are_of_run_environment_and_episode():
    seeds = [episode_seed(r, n, e) for r in range(4) for n in range(20) for e in range(20)]
    assert len(set(seeds)) == len(seeds)
    assert episode_seed(1, 2, 3) == episode_seed(1, 2, 3) < 2**32


def test_setting_the_run_seed_begins_other_episodes_at_the_next_reset():
    for env_id, backend in [
        ("CartPole-v1", "sync"), ("CartPole-v1", "vector"), ("CartPole-v1", "torch"),
    ]:  # fmt: skip
        envs, other = make(env_id, backend, seed=1), make(env_id, backend, seed=2)
        first = envs.reset()
        envs.run_seed = 2
        assert torch.equal(envs.reset(), other.reset())
        actions = random_actions(envs, 60)
        assert_same_bits(play(envs, actions), play(other, actions))
        envs.run_seed = 1
        assert torch.equal(envs.reset(), first)


@pytest.mark.parametrize(
    ("env_id", "backend"),
    [
        ("CartPole-v1", "sync"),
        ("sick_env:Sick-v0", "async"),
        ("sick_env:Sick-v0", "shared"),
        ("sick_env:Spaced-v0", "sync"),
    ],
)
def test_a_saved_state_goes_on_with_the_same_bits(env_id, backend):
    steps, total = 33, 60
    envs = make(env_id, backend, 5, workers=2)
    envs.reset()
    actions = random_actions(envs, total)
    before = play(envs, actions[:steps])
    saved = {name: value.clone() for name, value in envs.state_dict().items()}
    after = play(envs, actions[steps:])
    envs.close()
    for other_backend in {"sync", "async", backend}:
        with make(env_id, other_backend, 5, workers=2) as other:
            assert torch.equal(other.load_state_dict(saved), before[-1].obs)
            assert other.events == []
            assert_same_bits(play(other, actions[steps:]), after)


def test_the_log_of_actions_stays_short_however_long_the_run():
    envs = make("CartPole-v1", "sync", 4)
    envs.reset()
    play(envs, random_actions(envs, 1500))
    assert len(envs._log._steps) < 600
    assert len(envs.state_dict()["actions"]) < 400


def test_a_saved_state_of_another_number_of_environments_is_refused():
    for backend in ("sync", "vector", "torch"):
        small, large = make("CartPole-v1", backend, 2), make("CartPole-v1", backend, 3)
        small.reset()
        with pytest.raises(RunError, match="2 environments, env.num_envs gives 3"):
            large.load_state_dict(small.state_dict())


def test_an_environment_that_is_not_deterministic_is_noticed():
    envs = make("sick_env:Sick-v0", "sync", 2)
    envs.reset()
    play(envs, random_actions(envs, 4))
    state = envs.state_dict()
    state["actions"] = state["actions"] + 0.5
    envs.load_state_dict(state)
    assert len(envs.events) == 2
    assert "environment 0 is not deterministic" in envs.events[0]


def test_components_are_kept_apart_and_sum_to_the_reward():
    envs = make("sick_env:Parts-v0", "sync", 2)
    assert envs.component_names == ("pace", "cost")
    envs.reset()
    step = play(envs, [torch.tensor([0, 1])] * 2)[-1]
    assert step.rewards.tolist() == [[2.0, 0.0], [2.0, -0.5]]


def test_a_killed_worker_is_replaced_without_changing_a_bit():
    alone = make("sick_env:Sick-v0", "sync", 5)
    alone.reset()
    actions = random_actions(alone, 40)
    expected = play(alone, actions)
    for backend in ("async", "shared"):
        with make("sick_env:Sick-v0", backend, 5, workers=2) as envs:
            envs.reset()
            steps = play(envs, actions[:21])
            os.kill(envs._workers[-1].process.pid, signal.SIGKILL)
            steps += play(envs, actions[21:])
            assert_same_bits(steps, expected)
            (event,) = envs.drain_events()
            assert "died (SIGKILL, out of memory?), replaced, 9 steps replayed" in event
            assert envs.drain_events() == []


@pytest.mark.slow
def test_workers_killed_at_50_random_steps_change_no_bit():
    alone = make("sick_env:Sick-v0", "sync", 6, kwargs={"length": 30})
    alone.reset()
    actions = random_actions(alone, 5000)
    expected = play(alone, actions)
    random = np.random.default_rng(0)
    kills = set((100 * np.arange(50) + random.integers(0, 30, 50)).tolist())
    with make("sick_env:Sick-v0", "async", 6, workers=3, kwargs={"length": 30}) as envs:
        envs.reset()
        steps = []
        for number, action in enumerate(actions):
            if number in kills:
                victim = envs._workers[random.integers(3)].process.pid
                os.kill(victim, signal.SIGKILL)
            steps.append(envs.step(action))
        assert_same_bits(steps, expected)
        assert len(envs.events) == 50


def test_workers_that_keep_dying_end_the_run():
    with make("sick_env:Sick-v0", "async", 2, workers=1, kwargs={"fault": "os_exit"}) as envs:
        envs.reset()
        with pytest.raises(EnvironmentFault, match="exit status 5.* 4 workers in 200 steps"):
            play(envs, random_actions(envs, 4))


def test_a_hanging_environment_is_replaced_once(tmp_path):
    kwargs = {"fault": "hang", "marker": str(tmp_path / "once")}
    healthy = make("sick_env:Sick-v0", "sync", 4)
    healthy.reset()
    actions = random_actions(healthy, 10)
    expected = play(healthy, actions)
    with make(
        "sick_env:Sick-v0", "async", 4, workers=2, kwargs=kwargs, step_timeout=0.4
    ) as envs:  # fmt: skip
        envs.reset()
        assert_same_bits(play(envs, actions), expected)
        (event,) = envs.events
        assert "step 3 of episode 0" in event and "gave no answer in 0.4 s" in event


def test_an_environment_that_hangs_again_ends_the_run():
    with make(
        "sick_env:Sick-v0", "async", 2, workers=2, kwargs={"fault": "hang"}, step_timeout=0.3
    ) as envs:  # fmt: skip
        envs.reset()
        with pytest.raises(EnvironmentFault, match="no answer in 0.3 s .env.step_timeout"):
            play(envs, random_actions(envs, 3))


def test_a_slow_worker_is_not_taken_for_a_stuck_one():
    kwargs = {"fault": "sleep", "at": 2}  # 0.2 s each, 4 in a row
    with make(
        "sick_env:Sick-v0", "async", 4, workers=1, kwargs=kwargs, step_timeout=0.35
    ) as envs:  # fmt: skip
        envs.reset()
        play(envs, random_actions(envs, 3))
        assert envs.events == []


def test_workers_start_with_a_path_that_is_no_text(tmp_path, monkeypatch):
    """Python itself passes over it, too."""
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])
    with make("CartPole-v1", "async", 2, workers=2) as envs:
        assert envs.reset().shape == (2, 4)


def test_a_time_limit_of_years_is_no_mistake():
    """poll takes no more than 2^31 milliseconds at once."""
    with make("CartPole-v1", "async", 2, workers=1, step_timeout=1e9, reset_timeout=1e9) as envs:
        envs.reset()
        play(envs, random_actions(envs, 2))


def test_waiting_in_parts_still_ends_a_stuck_worker(monkeypatch):
    monkeypatch.setattr(inquiry, "LONGEST", 0.1)
    kwargs = {"fault": "hang"}
    with make(
        "sick_env:Sick-v0", "async", 2, workers=1, kwargs=kwargs, step_timeout=0.4
    ) as envs:  # fmt: skip
        envs.reset()
        with pytest.raises(EnvironmentFault, match="gave no answer in 0.4 s"):
            play(envs, random_actions(envs, 10))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def children_of(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("in_thread", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_workers_end_with_a_killed_trainer_even_inside_a_step(in_thread):
    script = f"""
        import sys, threading
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "tools")!r}]
        import torch
        from env_tools import make
        envs = []
        def start():
            envs.append(make("sick_env:Sick-v0", "async", 2, workers=2,
                             kwargs={{"fault": "hang", "at": 2}}))
        thread = threading.Thread(target=start)
        if {in_thread}:
            thread.start(); thread.join()
        else:
            start()
        envs[0].reset()
        envs[0].step(torch.zeros(2, 2))
        print("ready", flush=True)
        envs[0].step(torch.zeros(2, 2))
    """
    trainer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert trainer.stdout is not None and trainer.stdout.readline() == "ready\n"
    workers = children_of(trainer.pid)
    assert len(workers) == 2
    trainer.kill()
    trainer.wait()
    deadline = time.monotonic() + 5
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))


def test_closing_leaves_no_process_and_may_be_repeated(monkeypatch):
    monkeypatch.setattr("ppo.envs.workers.async_.CLOSE_SECONDS", 0.2)
    envs = make("sick_env:Sick-v0", "async", 2, workers=2, kwargs={"fault": "hang", "at": 2})
    envs.reset()
    envs.step(torch.zeros(2, 2))
    pids = [worker.process.pid for worker in envs._workers]
    for worker in envs._workers:
        worker.send_raw(b"0")  # they hang in this step
    envs.close()
    envs.close()
    assert not any(map(alive, pids))


def test_closing_closes_what_this_process_steps_too(monkeypatch):
    closed = []
    monkeypatch.setattr("sick_env.Sick.close", lambda env: closed.append(env), raising=False)
    envs = make("sick_env:Sick-v0", "shared", 4, workers=2)
    own = [slot.env.unwrapped for group in envs._own for slot in group.slots]
    assert len(own) == 2
    envs.close()
    envs.close()
    assert [closed.count(env) for env in own] == [1, 1]
