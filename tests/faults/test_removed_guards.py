"""Each safeguard of a training taken out makes a test fail: they see what they claim to see."""

from __future__ import annotations

import pytest
from mutated_tree import change, places_of, run_tests

# what is taken out: the code, what stands in its place, the file and the tests that notice
MUTATIONS = {
    "supervision of workers": (
        "w.send_raw(request), self._step_timeout, recover, step_own",
        "w.send_raw(request), self._step_timeout, None, step_own", "workers", "does_not_notice",
    ),
    "replay of a worker's episodes": (
        "replayed = self._replay_all(worker, parity)", "replayed = 0",
        "workers", "does_not_notice",
    ),
    "death with the trainer": (
        "    if tied and sys.platform", "    return\n    if tied and sys.platform",
        "workers", "end_with_their_trainer",
    ),
    "signals wait until a worker knows what to do about them": (
        "signal.SIG_BLOCK, LEFT_TO_TRAINER", "signal.SIG_BLOCK, ()",
        "workers", "that_is_starting",
    ),
    "a new beginning without a checkpoint": (
        "        if found is None:\n            return None\n        own",
        "        assert found is not None\n        own", "starts", "begins_again",
    ),
    "a random stream of its own for each batch, saved as its number": (
        '        self.learner.counters.update(found.meta["counters"])\n', "",
        "stops", "no_trace",
    ),
    "moments of Adam": (
        '        self.register_buffer("first", torch.zeros_like(flat.theta))\n',
        '        self.register_buffer("first", torch.zeros_like(flat.theta), persistent=False)\n',
        "stops", "no_trace",
    ),
    "lengths of running episodes": (
        '        self.lengths = state["lengths"].to(self.device, copy=True)\n', "",
        "stops", "no_trace",
    ),
    "running episodes": (
        "        self.carry = Carry(**fields)\n", "        self.reset()\n",
        "stops", "no_trace",
    ),
    "rewinding a dropped batch": (
        "            rewind()\n            raise", "            raise",
        "stops", "no_trace",
    ),
    "the environments' state at the start of a dropped batch": (
        "self._rewound.envs() if self._rewound else ", "", "stops", "no_trace",
    ),
    "dropping a batch": (
        "        if self.deadline is None:\n            return\n", "        return\n",
        "stops", "within_the_grace",
    ),
    "an evaluation that a stop cut short": (
        '"evaluation_due": self.evaluation_due', '"evaluation_due": False',
        "stops", "no_trace",
    ),
    "events that were not written yet": (
        '"events": self.events,', '"events": [],', "stops", "no_trace",
    ),
    "the environments of other ranks": (
        "    return shared | own", "    return shared", "ranks", "stop_together",
    ),
    "the check of the number of ranks": (
        "        if processes != parallel.world_size():", "        if False:",
        "ranks", "number_of_processes",
    ),
    "finite rewards": (
        "        if not all_finite(rows.rewards):", "        if False:",
        "numerics", "never_enters",
    ),
    "rollback": (
        "            self._snapshot.roll_back()\n            self.counters",
        "            self.counters", "numerics", "rollback or rolled_back",
    ),
    "skipping a gradient that is not finite": (
        "go & torch.isfinite(norm)", "go & torch.ones_like(go)", "numerics", "skipped",
    ),
    "new episodes at each checkpoint where there is no state": (
        "            self.learner.collector.reset()\n", "", "exact_resume",
        "without_a_state_a_killed",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("safeguard", MUTATIONS)
def test_a_safeguard_taken_out_is_noticed(tmp_path, safeguard):
    code, replacement, file, selection = MUTATIONS[safeguard]
    change(tmp_path, code, replacement)
    assert run_tests(tmp_path, f"tests/faults/test_{file}.py", "-k", selection) == 1


@pytest.mark.parametrize("safeguard", MUTATIONS)
def test_the_safeguard_that_is_taken_out_stands_there_once(safeguard):
    assert len(places_of(MUTATIONS[safeguard][0])) == 1
