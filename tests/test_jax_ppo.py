"""The PPO in JAX that benchmarks/speed.py compares with is one that learns."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from sources import ROOT

pytestmark = pytest.mark.slow
if not all(importlib.util.find_spec(name) for name in ("jax", "optax", "gymnax")):
    pytest.skip("the extra bench-jax is not installed", allow_module_level=True)


def test_it_learns_cartpole():
    command = [sys.executable, "benchmarks/jax_ppo.py", "--num-envs", "8", "--updates", "150"]
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    told = subprocess.run(
        [*command, "--rounds", "2"], cwd=ROOT, env=env, check=True, capture_output=True, text=True
    )
    found = json.loads(told.stdout)
    assert found["num_envs"] == 8 and found["steps_per_second"] > 0
    assert found["mean_return"] > 400
