"""A shell completes modes, flags and settings."""

import subprocess

import pytest

from ppo.cli import main, modes

pytest.importorskip("shtab")


def words(text: str, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    typed = line.split(" ")
    quoted = " ".join(f'"{word}"' for word in typed)
    program = f"""{text}
COMP_WORDS=({quoted}); COMP_CWORD={len(typed) - 1}
_shtab_ppo; printf '%s\\n' "${{COMPREPLY[@]}}" """
    run = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    return run.stdout.split()


def test_bash_offers_modes_flags_and_settings(capsys):
    assert main(["--print-completion", "bash"]) == 0
    text = capsys.readouterr().out
    assert set(words(text, "ppo --mode ")) == set(modes.names())
    assert words(text, "ppo --set ppo.gam") == [
        "ppo.gamma=", "ppo.gamma_schedule=",
    ]  # fmt: skip
    for flag in ("--resume", "--which", "--vary", "--config"):
        assert flag in words(text, f"ppo {flag[:4]}")


def test_an_unknown_shell_is_refused(capsys):
    assert main(["--print-completion", "bsh"]) == 2
    assert "did you mean bash?" in capsys.readouterr().err
