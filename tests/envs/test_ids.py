"""Every way to name an environment, and what is said of the ways that fail."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import gymnasium as gym
import pytest
import torch
from env_tools import make, play, random_actions

from ppo.core.errors import UserError
from ppo.envs.ids import find_spec, package_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("CartPole-v7", "CartPole-v1"),
        ("CartPole", "CartPole-v1"),
        ("cartpole-v1", "CartPole-v1"),
        ("Pendulumm-v1", "Pendulum-v1"),
        ("DoubleIntegrater-v0", "DoubleIntegrator-v0"),
    ],
)
def test_a_misspelt_id_brings_the_right_one(wrong, right):
    with pytest.raises(UserError) as caught:
        make(wrong)
    assert right in str(caught.value) and "env.id" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_id_like_no_other_says_how_to_name_an_environment_of_ones_own():
    with pytest.raises(UserError, match="package.module:EnvId"):
        make("Qwxyz-v0")


def test_a_module_that_is_missing_is_named():
    with pytest.raises(UserError, match="no_such_module"):
        make("no_such_module:Thing-v0")


MISTYPED = """
import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv

class Base(CartPoleEnv):
    pass

class Big(Base):
    pass

class NoEnvironment:
    pass

def make_big(index):
    return Big()

def helper():
    pass

if "Listed-v0" not in gym.registry:
    gym.register("Listed-v0", "mistyped_envs:Big")
"""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("mistyped_envs:base", "mistyped_envs has no base; did you mean mistyped_envs:Base"),
        ("mistyped_envs:Bigg", "has no Bigg; did you mean mistyped_envs:Big?"),
        ("mistyped_envs:Listed", "has no Listed; did you mean mistyped_envs:Listed-v0?"),
        ("mistyped_envs:mak_big", "has no mak_big; did you mean mistyped_envs:make_big?"),
        ("mistyped_envs:Qwxyz",
         "has no Qwxyz; it has Base, Big (classes), make_big (functions), Listed-v0 (ids)"),
        ("mistyped_envs:Baby", "has no Baby; it has Base, Big (classes)"),
        ("mistyped_envs:CartPol-v1", "did you mean CartPole-v1"),
        ("mistyped_envs.Base", "in a module stands behind a colon; write mistyped_envs:Base"),
        ("no_such_envs.Base", "package.module:EnvId"),
        ("textwrap:Base", "the module textwrap has no Base, and no environments"),
    ],
)  # fmt: skip
def test_a_misspelt_name_of_a_module_brings_those_that_it_has(tmp_path, monkeypatch, given, why):
    (tmp_path / "mistyped_envs.py").write_text(MISTYPED)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(UserError, match=re.escape(why)) as caught:
            find_spec(given)
    finally:
        gym.registry.pop("Listed-v0", None)
        sys.modules.pop("mistyped_envs", None)
    assert str(caught.value).startswith(f"env.id: {given}: ") or "is not known" in str(caught.value)
    assert "doesn't exist" not in str(caught.value) or given.startswith("no_such")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("mine.py:Mine-v0", "write mine:Mine-v0"),
        ("./sub/mine.py:Mine-v0", "write sub.mine:Mine-v0"),
        (".mine:Mine-v0", "write mine:Mine-v0"),
        ("../mine:Mine-v0", "package.module:EnvId"),
        (":Mine-v0", "package.module:EnvId"),
        ("my envs:Mine-v0", "package.module:EnvId"),
        ("mine:", "package.module:EnvId"),
    ],
)
def test_what_is_no_dotted_path_is_told_what_is(given, hint):
    with pytest.raises(UserError, match=re.escape(hint)) as caught:
        find_spec(given)
    assert str(caught.value).startswith(f"env.id: {given}: ") and "raised" not in str(caught.value)


def test_arguments_that_the_environment_does_not_know_are_shown():
    with pytest.raises(UserError, match="Pendulum-v1 cannot be made with env.kwargs .*'gravity'"):
        make("Pendulum-v1", kwargs={"gravity": 3})
    with pytest.raises(UserError, match="env.kwargs.*'gravity'"):
        make("Pendulum-v1", "torch", kwargs={"gravity": 3})


def test_auto_takes_the_fastest_that_gives_the_same_data():
    expected = {"DoubleIntegrator-v0": "torch", "CartPole-v1": "vector", "Pendulum-v1": "sync"}
    for env_id, backend in expected.items():
        assert make(env_id, "auto", 1).backend == backend


def test_the_torch_backend_names_what_it_has():
    with pytest.raises(UserError, match="no torch form of Acrobot-v1 .*CartPole-v1, Double"):
        make("Acrobot-v1", "torch")


@pytest.mark.parametrize(
    ("env_id", "module", "install"),
    [
        ("ALE/Pong-v5", "ale_py", '".[atari]"'),
        ("MiniGrid-Empty-5x5-v0", "minigrid", "pip install"),
        ("highway-fast-v0", "highway_env", "pip install"),
        ("LunarLander-v3", "Box2D", '".[box2d]"'),
        ("HalfCheetah-v5", "mujoco", '".[mujoco]"'),
        ("phys2d/CartPole-v1", "jax", '".[jax]"'),
    ],
)
def test_a_missing_package_brings_the_line_that_installs_it(monkeypatch, env_id, module, install):
    package = package_of(env_id)
    assert package is not None and package.module == module and install in package.install
    if package.registers:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        for name in [name for name in gym.registry if name == env_id]:
            monkeypatch.delitem(gym.registry, name)
    else:

        def fail(*_, **__):
            if module == "jax":  # Gymnasium does not ask whether it is there
                raise ModuleNotFoundError("No module named 'jax'", name="jax")
            raise gym.error.DependencyNotInstalled("not there")

        monkeypatch.setattr(gym, "make", fail)
    with pytest.raises(UserError) as caught:
        make(env_id)
    assert package.install in str(caught.value)


def test_a_module_that_the_environment_lacks_is_named_as_it_is(monkeypatch):
    def fail(*_, **__):
        raise ModuleNotFoundError("No module named 'another'", name="another")

    monkeypatch.setattr(gym, "make", fail)
    for env_id in ("HalfCheetah-v5", "CartPole-v1"):
        with pytest.raises(UserError, match="cannot be made: .*'another'"):
            make(env_id)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "DoubleIntegrator-v0", "Acrobot-v1", "Taxi-v3"])
def test_our_own_and_gymnasiums_ids_need_no_package(env_id):
    assert package_of(env_id) is None


@pytest.mark.slow
def test_workers_do_not_run_the_users_script_again(tmp_path):
    """Nor does it need the `if __name__ == "__main__"` that multiprocessing asks for."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "tools")!r}]
        print("once")
        from env_tools import make, play, random_actions
        with make("CartPole-v1", "async", 2, workers=2) as envs:
            envs.reset()
            play(envs, random_actions(envs, 3))
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "once\n", "")


def test_workers_do_not_import_torch():
    code = "import ppo.envs.workers.worker, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n", done.stderr


THIRD_PARTY = [
    ("minigrid", "MiniGrid-Empty-5x5-v0", {}, (151,)),
    pytest.param("highway_env", "highway-fast-v0", {}, (25,), marks=pytest.mark.slow),
    ("Box2D", "LunarLander-v3", {}, (8,)),
    ("ale_py", "ALE/Pong-v5", {"obs_type": "ram"}, (128,)),
    pytest.param(
        "ale_py", "ALE/Pong-v5", {"obs_type": "rgb"}, (210, 160, 3), marks=pytest.mark.slow
    ),
    ("mujoco", "HalfCheetah-v5", {}, (17,)),
    ("mujoco", "Humanoid-v5", {}, (348,)),
]


@pytest.mark.parametrize(("module", "env_id", "kwargs", "shape"), THIRD_PARTY)
def test_environments_of_others_run_unchanged_and_resume_exactly(module, env_id, kwargs, shape):
    """In a fresh interpreter none of these packages is imported by hand."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    steps = 6 if module in ("highway_env", "ale_py") else 40
    with make(env_id, "auto", 2, kwargs=kwargs) as envs:
        assert envs.reset().shape == (2, *shape)
        actions = random_actions(envs, steps)
        play(envs, actions[: steps // 2])
        saved = envs.state_dict()
        expected = play(envs, actions[steps // 2 :])
        obs = envs.load_state_dict(saved)
        again = play(envs, actions[steps // 2 :])
        assert obs.shape == (2, *shape)
        assert [e for e in envs.events if "not deterministic" in e] == []
        for a, b in zip(expected, again, strict=True):
            assert torch.equal(a.obs, b.obs) and torch.equal(a.rewards, b.rewards)


@pytest.mark.parametrize(("module", "env_id", "kwargs", "shape"), THIRD_PARTY)
def test_environments_of_others_run_in_workers(module, env_id, kwargs, shape):
    pytest.importorskip(module)
    alone = make(env_id, "sync", 3, kwargs=kwargs)
    with make(env_id, "async", 3, kwargs=kwargs, workers=2) as envs:
        assert torch.equal(envs.reset(), alone.reset())
        for action in random_actions(envs, 20):
            assert torch.equal(envs.step(action).obs, alone.step(action).obs)
