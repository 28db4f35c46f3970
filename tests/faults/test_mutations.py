"""Each safeguard of a training taken out makes a test fail: they see what they claim to see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# what is taken out: module, the code, what stands in its place, the file and the tests that notice
MUTATIONS = {
    "supervision of workers": (
        "envs/async_", "w.send_raw(request), self._step_timeout, recover)",
        "w.send_raw(request), self._step_timeout)", "workers", "does_not_notice",
    ),
    "replay of a worker's episodes": (
        "envs/async_", "self._replay_all(worker) if replay else 0", "0",
        "workers", "does_not_notice",
    ),
    "death with the trainer": (
        "envs/worker", "    if tied and sys.platform", "    return\n    if tied and sys.platform",
        "workers", "end_with_their_trainer",
    ),
    "signals wait until a worker knows what to do about them": (
        "envs/supervisor", "signal.SIG_BLOCK, LEFT_TO_TRAINER", "signal.SIG_BLOCK, ()",
        "workers", "that_is_starting",
    ),
    "lock": (
        "run_folder", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH", "starts", "second_resume",
    ),
    "a new beginning without a checkpoint": (
        "loop", "        if found is None:\n            return False",
        "        assert found is not None", "starts", "begins_again",
    ),
    "a random stream of its own for each batch, saved as its number": (
        "loop", '        self.learner.counters.update(meta["counters"])\n', "",
        "stops", "no_trace",
    ),
    "moments of Adam": (
        "learner", '        self.optimizer.load_state_dict(part("optimizer"))\n', "",
        "stops", "no_trace",
    ),
    "lengths of running episodes": (
        "collect", '        self.lengths.copy_(state["lengths"])\n', "", "stops", "no_trace",
    ),
    "running episodes": (
        "envs/torch_env", "        self.carry = Carry(**fields)\n", "        self.reset()\n",
        "stops", "no_trace",
    ),
    "rewinding a dropped batch": (
        "learner", "            self._rewind()\n            raise", "            raise",
        "stops", "no_trace",
    ),
    "the environments' state at the start of a dropped batch": (
        "collect", "self.envs.marked_state() if self._rewound else ", "", "stops", "no_trace",
    ),
    "dropping a batch": (
        "signals", "        if self.deadline is None:\n            return\n", "        return\n",
        "stops", "within_the_grace",
    ),
    "an evaluation that a stop cut short": (
        "loop", '"evaluation_due": self.evaluation_due', '"evaluation_due": False',
        "stops", "no_trace",
    ),
    "events that were not written yet": (
        "loop", '"events": self.events,', '"events": [],', "stops", "no_trace",
    ),
    "the environments of other ranks": (
        "saving", "    return shared | own", "    return shared", "ranks", "stop_together",
    ),
    "the check of the number of ranks": (
        "saving", "        if processes != parallel.world_size():", "        if False:",
        "ranks", "number_of_processes",
    ),
    "finite rewards": (
        "envs/slot", "        if not np.isfinite(rows.rewards).all():", "        if False:",
        "numerics", "never_enters",
    ),
    "rollback": (
        "learner", "            self._restore()\n            self.counters",
        "            self.counters", "numerics", "rollback or rolled_back",
    ),
    "skipping a gradient that is not finite": (
        "optimizer", "go & torch.isfinite(norm)", "go & torch.ones_like(go)", "numerics", "skipped",
    ),
    "new episodes at each checkpoint where there is no state": (
        "loop", "            self.learner.collector.restart_episodes()\n", "", "exact_resume",
        "without_a_state_a_killed",
    ),
}  # fmt: skip


def run_tests(root: Path, file: str, selection: str) -> int:
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider"]
    command += [f"tests/faults/test_{file}.py", "-k", selection]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize("safeguard", MUTATIONS)
def test_a_safeguard_taken_out_is_noticed(tmp_path, safeguard):
    module, code, replacement, file, selection = MUTATIONS[safeguard]
    ignore = shutil.ignore_patterns("__pycache__", "test_mutations.py")
    for name in ("ppo", "tests/faults", "tests/envs", "tests/files"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "tests/conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "ppo" / f"{module}.py"
    source = path.read_text()
    assert source.count(code) == 1, "this safeguard has moved: bring the list up to date"
    path.write_text(source.replace(code, replacement))
    assert run_tests(tmp_path, file, selection) == 1
