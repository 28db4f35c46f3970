"""A mistake in a user's environment ends in a line that says what and where."""

from __future__ import annotations

import inspect
import json
import time
from pathlib import Path

import clumsy_env
import pytest
import torch
from env_tools import make

from ppo import Config, cli
from ppo.core.errors import EnvironmentFault, RunError, UserError
from ppo.envs.base import episode_seed
from ppo.envs.look import facts_of

LINES = inspect.getsource(clumsy_env).splitlines()
DEEPER = 1 + next(i for i, line in enumerate(LINES) if "to be named" in line)
THERE = rf"clumsy_env\.py:{DEEPER} in _deeper"


def five_steps(what: str, name: str = "Clumsy", **more):
    with make(f"clumsy_env:{name}-v0", num_envs=1, kwargs={"what": what}, **more) as envs:
        envs.reset()
        return [envs.step(torch.zeros(1, dtype=torch.int64)) for _ in range(5)]


MISTAKES = [
    ("no_file", UserError, r"cannot be made.*FileNotFoundError.*prices.csv.*clumsy_env\.py:\d+ in"),
    ("key_in_init", UserError, rf"cannot be made.*KeyError: 'goal' \({'.*'}{THERE}\)"),
    ("type_in_init", UserError, rf"e.*: TypeError: 'None[\w' ]* subscriptable \({'.*'}{THERE}\)"),
    ("assert_in_init", UserError, "cannot be made.*AssertionError: the map must have a goal"),
    ("old_space", UserError, r"observation_space is a clumsy_env\.Box.*gymnasium\.spaces"),
    ("key_in_reset", EnvironmentFault, rf"reset raised KeyError\('start'\).*{THERE}"),
    ("key_in_step", EnvironmentFault, rf"step 1 .* step raised KeyError\('goal'\).*{THERE}"),
    ("four_values", UserError, "step must return .*terminated, truncated"),
    ("reset_alone", UserError, r"reset must return \(observation, info\)"),
    ("two_ends", UserError, "terminated must be True or False, got array"),
    ("no_info", UserError, r"step must return .*truncated, info dict\), got .*None\)"),
    ("two_rewards", UserError, "the reward must be one number, got array"),
    ("no_reward", UserError, "the reward must be one number, got None"),
    ("complex", UserError, "the reward must be one number, got np.complex64"),
    ("duration", UserError, "the reward must be one number, got np.timedelta64"),
    ("silent", UserError, "the reward must be one number, got an object of type Silent"),
    ("digits", EnvironmentFault, r"the reward is not finite \(as float32\): \[inf\]"),
    ("huge", EnvironmentFault, r"not finite: entry 0 is inf \(as float32\)"),
    ("ragged", UserError, "step 0 .*the observation is not an array"),
    ("nan_ends", UserError, r"terminated must be True or False, got array\(nan\)"),
    ("text_ends", UserError, "terminated must be True or False, got 'False'"),
    ("panics", EnvironmentFault, r"step raised Panic\('in a library'\) \(.*in step\)"),
    ("long_error", EnvironmentFault, r"^.{,700}\.\.\. \(.*in step\); env.on_error"),
    ("column", UserError, r"the observation is declared Box.*, but has shape \(2, 1\)"),
    ("nothing", UserError, "the observation is declared Box.*, but is None"),
    ("agents", UserError, r"observation is declared Box.*, but is {'walker_0': array\(\[0., 0"),
    ("reward_ends", UserError, "terminated must be True or False, got -0.5"),
    ("upside_down", UserError, "the action space: entry 1 has the bounds 2.0 to 1.0"),
    ("nan_bounds", UserError, "the observation space: entry 1 has the bounds nan to 1.0"),
    ("moved_space", UserError, r"reset has changed its observation space .*\[2\] -> \[3\]"),
    ("moved_actions", UserError, r"reset has changed its action space \(n 2 -> 3\)"),
]


@pytest.mark.parametrize("name", ["Clumsy", "ClumsyLimit"])
@pytest.mark.parametrize(("what", "kind", "message"), MISTAKES)
def test_a_mistake_is_one_line_with_its_place(name, what, kind, message):
    with pytest.raises((UserError, RunError), match=message) as caught:
        five_steps(what, name)
    assert isinstance(caught.value, kind) and "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "kind", "message"), MISTAKES)
def test_workers_say_the_same(what, kind, message):
    with pytest.raises(kind, match=message):
        five_steps(what, backend="async")


def test_frames_of_an_environment_with_four_values_are_not_stacked_in_vain():
    with pytest.raises(UserError, match="step must return .*terminated, truncated"):
        five_steps("four_values", frame_stack=2)


def test_bounds_of_what_is_observed_may_be_set_by_reset():
    assert len(five_steps("moved_bounds")) == 5


@pytest.mark.parametrize(("what", "error"), [("key_in_space", "KeyError"), ("", "AttributeError")])
@pytest.mark.parametrize("name", ["Unready", "UnreadyLimit"])
def test_a_space_that_is_not_there_yet_has_its_place(name, what, error):
    message = rf"its observation_space raised {error}.*clumsy_env\.py:\d+ in "
    with pytest.raises(UserError, match=message):
        five_steps(what, name)


def test_an_environment_that_finds_any_name_in_its_settings_is_told_what_it_was_asked():
    with pytest.raises(UserError, match=rf"asked for action_masks, raised KeyError.*{THERE}"):
        five_steps("", "Settings")
    assert len(five_steps("", "Settings", action_masks="never")) == 5


IN_MASKS = [
    ("key_in_masks", rf"action_masks raised KeyError\('goal'\).*{THERE}"),
    ("value_in_masks", r"action_masks raised ValueError\('no such choice'\).*in action_masks"),
]


@pytest.mark.parametrize(("what", "message"), IN_MASKS)
@pytest.mark.parametrize("at", [0, 2])
def test_an_error_in_action_masks_has_its_place(what, message, at):
    with (
        pytest.raises(EnvironmentFault, match=rf"step {at} of .*{message}"),
        make("clumsy_env:Choosing-v0", num_envs=1, kwargs={"what": what, "at": at}) as envs,
    ):
        envs.reset()
        for _ in range(3):
            envs.step(torch.zeros(1, dtype=torch.int64))


def test_an_error_in_action_masks_can_cut_the_episode():
    kwargs = {"what": "key_in_masks", "at": 2}
    with make("clumsy_env:Choosing-v0", num_envs=1, kwargs=kwargs, on_error="restart") as envs:
        envs.reset()
        steps = [envs.step(torch.zeros(1, dtype=torch.int64)) for _ in range(2)]
        assert steps[1].valid.tolist() == [False] and steps[1].truncated.tolist() == [True]
        assert any("action_masks raised" in line for line in envs.drain_events())


IN_SIDE = [
    ("key_in_init", UserError, "cannot be made.*KeyError: 'goal'.*in _fail"),
    ("type_in_init", UserError, "cannot be made.*TypeError: .*in _fail"),
    ("key_in_reset", EnvironmentFault, r"Side-v0.*reset raised KeyError\('goal'\).*in _fail"),
    ("key_in_step", EnvironmentFault, r"Side-v0.*step raised KeyError\('goal'\).*in _fail"),
    ("four_values", UserError, "step must return .*terminated, truncated"),
]


@pytest.mark.parametrize(("what", "kind", "message"), IN_SIDE)
def test_an_error_in_a_vectorized_environment_has_its_place(what, kind, message):
    with pytest.raises(kind, match=message) as caught:
        five_steps(what, "Side", backend="vector")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["exit_in_close", "key_in_close"])
@pytest.mark.parametrize("backend", ["sync", "async"])
def test_an_environment_that_fails_to_close_has_given_all_it_had(backend, what):
    assert len(five_steps(what, backend=backend)) == 5
    sets = ["env.id=clumsy_env:Clumsy-v0", f"env.kwargs={{what: {what}}}", f"env.backend={backend}"]
    config = Config.from_dict({}, [*sets, "env.num_envs=auto"])
    assert facts_of(config, None, plays=False).action_entries == 0


@pytest.mark.parametrize("name", ["NoSeed", "NoSeedLimit", "SeedAloneLimit"])
def test_a_reset_that_takes_too_little_is_shown_how_to(name):
    with pytest.raises(UserError, match=r"must take seed and options: def reset\(self, \*, seed="):
        five_steps("", name)


def test_an_action_is_what_a_sample_of_its_space_is():
    """Environments that were tried with samples call `action.item()`."""
    with make("clumsy_env:Samples-v0", num_envs=2) as envs:
        envs.reset()
        step = envs.step(torch.tensor([6, 7]))
    assert step.rewards.tolist() == [[6.0], [7.0]]


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_a_seed_that_an_int_of_c_cannot_hold_is_made_smaller(backend):
    wanted = [episode_seed(7, 0, episode) for episode in range(3)]
    assert max(wanted) >= 2**31 > min(wanted)
    with make("clumsy_env:Narrow-v0", backend, num_envs=1) as envs:
        rows = [envs.reset(), *(envs.step(torch.zeros(1)).obs for _ in range(10))][::5]
    seeds = [int(obs[0, 0]) + 1000 * int(obs[0, 1]) for obs in rows]
    assert seeds == [seed % 2**31 for seed in wanted]


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_an_interruption_in_an_environment_ends_the_run(backend):
    stop = KeyboardInterrupt if backend == "sync" else EnvironmentFault  # a line, no dead worker
    with pytest.raises(stop):
        five_steps("interrupts", backend=backend)


@pytest.mark.parametrize(("what", "message"), [("four_values", "step must"), ("two_ends", "term")])
def test_an_environment_that_was_spoiled_before_a_resume_is_told(what, message):
    with make("clumsy_env:Clumsy-v0", num_envs=1) as envs:
        envs.reset()
        envs.step(torch.zeros(1))
        state = envs.state_dict()
    with (
        make("clumsy_env:Clumsy-v0", num_envs=1, kwargs={"what": what}) as envs,
        pytest.raises(UserError, match=f"{message}.*, got "),
    ):
        envs.load_state_dict(state)


def is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("way", ["close", "kill"])
def test_what_an_environment_has_started_ends_with_its_worker(way):
    with make("clumsy_env:Clumsy-v0", "async", num_envs=2, kwargs={"what": "server"}) as envs:
        envs.reset()
        servers = envs.step(torch.zeros(2)).rewards.flatten().int().tolist()
        assert all(map(is_there, servers))
        if way == "kill":
            for worker in envs._workers:
                worker.kill()
    deadline = time.monotonic() + 20
    while any(map(is_there, servers)):
        assert time.monotonic() < deadline, f"{servers} are still there"
        time.sleep(0.02)


def test_an_error_where_the_working_directory_is_gone_is_a_line(tmp_path, monkeypatch):
    with make("clumsy_env:Clumsy-v0", num_envs=1, kwargs={"what": "key_in_step"}) as envs:
        envs.reset()
        monkeypatch.chdir(tmp_path)
        tmp_path.rmdir()
        with pytest.raises(EnvironmentFault, match=rf"step raised KeyError\('goal'\).*{THERE}"):
            envs.step(torch.zeros(1, dtype=torch.int64))


READ = [
    "tensors", "tensor_with_gradient", "arrays", "lists", "doubles", "whole", "half", "converts",
    "coarse", "decimal", "whole_ends", "float_ends",
]  # fmt: skip


@pytest.mark.parametrize("what", READ)
@pytest.mark.parametrize("stack", [1, 2])
def test_numbers_of_every_kind_are_read_as_what_they_are(what, stack):
    steps = five_steps(what, frame_stack=stack)
    assert [float(step.rewards) for step in steps] == [1.0] * 5
    assert [bool(step.terminated) for step in steps] == [False] * 4 + [True]
    assert steps[0].obs.tolist() == [[0.0] * 2 * stack]


BROKEN = {
    "import": ("import no_such_package", "which needs no_such_package"),
    "syntax": ("def f(:", r"SyntaxError.*mine_syntax\.py:1"),
    "key": ("x = 1\n{}['a']", r"KeyError: 'a' \(mine_key\.py:2 in <module>\)"),
    "file": ("open('nowhere.csv')", r"FileNotFoundError.*mine_file\.py:1"),
    "assert": ("assert False, 'no map'", "AssertionError: no map"),
    "exit": ("raise SystemExit('a script')", "SystemExit: a script"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_module_that_fails_is_the_users_mistake(tmp_path, monkeypatch, name):
    text, message = BROKEN[name]
    (tmp_path / f"mine_{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere", *__import__("sys").path])
    with pytest.raises(UserError, match=message):
        make(f"mine_{name}:Mine-v0")


@pytest.mark.parametrize("mode", ["inspect"])
def test_json_is_alone_although_the_environment_prints(capfd, tmp_path, monkeypatch, mode):
    monkeypatch.chdir(tmp_path)
    settings = ["env.id=clumsy_env:Clumsy-v0", "env.kwargs={what: prints}", "env.backend=sync",
                "env.num_envs=1", "ppo.num_steps=8", "ppo.num_minibatches=1"]  # fmt: skip
    overrides = [word for setting in settings for word in ("--set", setting)]
    assert cli.main(["--mode", mode, "--steps", "8", "--json", *overrides]) == 0
    out, err = capfd.readouterr()
    assert isinstance(json.loads(out), dict)
    assert "action" in err and "from a library of C" in err
