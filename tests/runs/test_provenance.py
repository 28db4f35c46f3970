"""Where a run comes from."""

from __future__ import annotations

import json
import subprocess

import torch

from ppo.runs import provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    command = ["git", *identity, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_it_is_json_and_names_what_decides_the_bits(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train_cli.py", "--results", "a b"])
    found = provenance.collect(torch, device="cpu")
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"][
        "torch"
    ] == str(torch.__version__)
    assert {"gymnasium", "numpy"} <= set(found["versions"])
    assert found["command"] == "train_cli.py --results 'a b'"
    assert found["threads"] == torch.get_num_threads() and found["device"] == "cpu"


def test_without_torch_it_leaves_out_what_torch_knows():
    assert "threads" not in provenance.collect()


def test_the_commit_and_whether_files_differ(tmp_path):
    assert provenance.git_state(tmp_path) is None
    git(tmp_path, "init")
    assert provenance.git_state(tmp_path) is None
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    state = provenance.git_state(tmp_path)
    assert state and len(state["commit"]) == 40 and state["dirty"] is False
    (tmp_path / "untracked").write_text("")
    assert provenance.git_state(tmp_path) == state
    (tmp_path / "file").write_text("b")
    assert provenance.git_state(tmp_path) == {**state, "dirty": True}


def test_a_program_in_the_repository_settings_does_not_run(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "config", "core.fsmonitor", f"mkdir {tmp_path / 'marker'}; false")
    assert provenance.git_state(tmp_path) is not None
    assert not (tmp_path / "marker").exists()


def test_no_git_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state(tmp_path) is None
