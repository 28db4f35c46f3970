"""--mode options: the list of settings, its JSON, and a word that matches nothing."""

import json
import subprocess
import sys

import pytest

from ppo.cli import main


def test_json_is_a_list_of_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mode", "options", "num_steps", "--json"]) == 0
    (found,) = [s for s in json.loads(capsys.readouterr().out) if s["name"] == "ppo.num_steps"]
    assert found == {
        "name": "ppo.num_steps",
        "tier": "common",
        "default": "auto",
        "allowed": "a whole number, at least 1 or auto",
        "meaning": "steps per environment in a batch",
        "source": "",
    }


def test_text_names_tier_default_and_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mode", "options", "value_clip_floor"]) == 0
    out = capsys.readouterr().out
    assert "ppo.value_clip_floor: 1.0  (expert)" in out and "at least 0" in out


@pytest.mark.parametrize("arguments", [["lerning_rate"], ["--set", "ppo.gamma=1"]])
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["--mode", "options", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and len(err.splitlines()) == 1


def test_listing_imports_no_torch() -> None:
    code = "import sys; from ppo.cli import main; main(['--mode', 'options']);"
    code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
