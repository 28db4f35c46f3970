"""Checkpoints of earlier versions are taken over: by digest, and tensor by tensor."""

import pytest
import torch
from learner_tools import learner

from ppo.algorithm.snapshot import TENSORS_ADDED_LATER
from ppo.training.state import layout

# Digests that checkpoints of version 0.1.0 hold. Where one changes, no run from before can be
# resumed: a tensor that comes new belongs into TENSORS_ADDED_LATER, one that is renamed to RENAMED.
KNOWN = {
    "9e824124f424fc48": {"env": "Pendulum-v1"},
    "9ccdc806f4e653bf": {"env": "CartPole-v1"},
    "83970944845c6a4c": {
        "env": "CartPole-v1", "network__memory": "lstm", "network__shared_encoder": "false",
    },
}  # fmt: skip


@pytest.mark.parametrize("digest", KNOWN)
def test_what_a_checkpoint_must_agree_with_is_as_it_was(digest):
    assert layout(learner(**{"env__backend": "torch", **KNOWN[digest]})) == digest


def test_a_state_from_before_a_tensor_was_added_is_loaded():
    first, second = (learner("Pendulum-v1", env__backend="torch") for _ in range(2))
    first.step()
    state = first.state_dict()
    old = {name: value for name, value in state.items() if name not in TENSORS_ADDED_LATER}
    assert len(old) == len(state) - len(TENSORS_ADDED_LATER)
    second.load_state_dict(old)
    now = second.state_dict()
    assert all(torch.equal(now[name], value) for name, value in old.items())
