"""What environments report in their infos, read from arrays and tensors."""

from __future__ import annotations

import numpy as np
import torch

from ppo.envs.reports import DeviceReports, Reports, numbers_of, of_one


def test_vector_infos_are_read_where_they_are_there():
    infos = {
        "a": np.array([1.0, 2.0]), "_a": np.array([True, False]), "b": np.array([5, 6]),
        "metrics": {"c": np.array([7.0, 8.0]), "_c": np.array([True, True])},
        "final_obs": np.zeros((2, 3)), "text": np.array(["x", "y"], object),
    }  # fmt: skip
    assert numbers_of(of_one(infos, 0, 2)) == {"a": 1.0, "b": 5.0, "c": 7.0}
    assert numbers_of(of_one(infos, 1, 2)) == {"b": 6.0, "c": 8.0}
    lone = {"a": torch.tensor(3.0), "b": np.array([4.0]), "c": np.ones(2), "d": torch.ones(0)}
    assert numbers_of(lone) == {"a": 3.0, "b": 4.0}
    reports = Reports()
    reports.add({"a": 1.0})
    assert reports.take() == {"a": [1.0]} and reports.take() == {}


def test_tensors_are_summed_where_episodes_ended():
    reports, ended = DeviceReports(), torch.tensor([True, False, True])
    info = {"a": torch.tensor([1.0, 50.0, 3.0]), "final_obs": torch.zeros(3, 2),
            "metrics": {"b": torch.tensor([[1], [0], [1]]), "c": torch.tensor(5.0)},
            "bad": torch.tensor([torch.nan, 1.0, torch.inf]), "n": 7.0}  # fmt: skip
    reports.gather(info, ended)
    reports.gather({"a": torch.tensor([9.0, 9.0, 5.0])}, torch.tensor([False, False, True]))
    assert reports.take() == {"a": [3.0], "b": [1.0]}
    assert reports.take() == {}
