"""A wheel in a fresh environment, without the repository, does what the repository does."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = ["--set", "train.total_timesteps=256", "--set", "ppo.num_steps=32", "--set",
         "env.num_envs=4", "--set", "system.compile=never"]  # fmt: skip
OWN = """
import gymnasium as gym
import numpy as np


class Line(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.zeros(1, np.float32), float(action), self.count == 8, False, {}


gym.register("Line-v0", Line)
"""

CLEAN = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The folder of an environment with the wheel alone; what it needs comes from this one."""
    pytest.importorskip("build")
    base = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", base / "dist", ROOT],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run([sys.executable, "-m", "venv", base / "env"], check=True)
    (wheel,) = (base / "dist").glob("*.whl")
    pip = [base / "env" / "bin" / "pip", "install", "-q", "--no-deps"]
    subprocess.run([*pip, wheel], check=True, env=CLEAN, cwd=base)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = base / "env" / "lib" / version / "site-packages"
    found = [path for path in sys.path if path.endswith("site-packages")]
    (site / "others.pth").write_text("\n".join([*found, sysconfig.get_path("purelib")]) + "\n")
    return base


def run(fresh, *argv, cwd, status=0):
    """The console script in a folder; what it printed."""
    done = subprocess.run(
        [fresh / "env" / "bin" / "ppo", *argv], cwd=cwd, env=CLEAN, capture_output=True, text=True
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "train_cli.py" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_step_of_a_user_works_from_the_wheel(fresh, tmp_path):
    text = run(fresh, "--version", cwd=tmp_path)
    assert text.startswith("ppo-stable-values ")
    text = run(fresh, "--mode", "train", "--config", "cartpole", *QUICK, cwd=tmp_path)
    assert "ppo --mode " in text
    (tmp_path / "own_line.py").write_text(OWN)
    own = ["--set", "env.id=own_line:Line-v0"]
    run(fresh, "--mode", "train", *QUICK, *own, cwd=tmp_path)
    for following in [line.split("| ")[1] for line in text.splitlines() if "next " in line]:
        run(fresh, *following.split()[1:], cwd=tmp_path)
    run(fresh, "--mode", "evaluate", "--run", "run0001", "--episodes", "3", cwd=tmp_path)
    run(fresh, "--mode", "compare", "run0001", "run0002", "--html", "page.html", cwd=tmp_path)
    assert "redraw();" in (tmp_path / "page.html").read_text()  # page.js is part of the wheel
    run(fresh, "--mode", "diagnose", "run0001", cwd=tmp_path)
    run(fresh, "--mode", "options", "gamma", cwd=tmp_path)
    run(fresh, "--mode", "train", "--config", "nosuch", cwd=tmp_path, status=2)
    import importlib.util

    if importlib.util.find_spec("onnx") is None:
        text = run(fresh, "--mode", "export", "--run", "run0001", cwd=tmp_path, status=2)
        assert 'pip install "ppo-stable-values[export]"' in text
