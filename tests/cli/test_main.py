"""The command line: exit status, one line a mistake on stderr, nothing imported too early."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ppo import cli
from ppo.cli import modes

ROOT = Path(__file__).parents[2]

# Modes that exist only here; the folder is added to the package's path.
PROBE = '''
"""ends in the way it is told"""


def add_arguments(parser):
    parser.add_argument("--ending", default="done")
    parser.add_argument("--probe-only", action="store_true")


def run(args):
    import errno

    from ppo.cli.flags import load_config
    from ppo.core.errors import Diverged, RunError, UserError

    endings = {
        "user": UserError("a.yaml:1 x: wrong", "a.yaml:2 y: wrong"),
        "run": RunError("worker 3 is lost"),
        "diverged": Diverged("the loss is infinite"),
        "interrupt": KeyboardInterrupt(),
        "pipe": BrokenPipeError(),
        "disk": OSError(errno.ENOSPC, "No space left on device", "results"),
        "memory": MemoryError(),
        "bug": ZeroDivisionError("a bug"),
    }
    if args.ending in endings:
        raise endings[args.ending]
    if args.ending == "143":
        return 143
    config = load_config(args)
    print(args.mode, args.verbosity, args.results, config.system.seed, config.ppo.gamma)
'''


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "modes"
    folder.mkdir()
    (folder / "probe.py").write_text(PROBE)
    (folder / "broken.py").write_text('"""cannot be imported"""\nimport no_such_package\n')
    monkeypatch.setattr(modes, "__path__", [str(folder)])
    monkeypatch.chdir(tmp_path)
    modes.summary.cache_clear()
    real = {name: sys.modules.pop(name) for name in loaded_modes()}
    yield folder
    modes.summary.cache_clear()
    for name in loaded_modes():
        del sys.modules[name]
    sys.modules.update(real)


def loaded_modes() -> list[str]:
    return [name for name in sys.modules if name.startswith("ppo.cli.modes.")]


def script(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train_cli.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("ending", "status", "lines"),
    [
        ("user", 2, ["error: a.yaml:1 x: wrong", "error: a.yaml:2 y: wrong"]),
        ("run", 1, ["error: worker 3 is lost"]),
        ("diverged", 4, ["error: the loss is infinite"]),
        ("interrupt", 130, ["error: interrupted"]),
        ("disk", 1, ["error: results: No space left on device"]),
        ("memory", 1, ["error: out of memory; smaller env.num_envs, ppo.num_steps or"]),
        ("bug", 1, ["error: ZeroDivisionError: a bug (modes/probe.py:"]),  # the user's
        ("143", 143, []),
    ],
)
def test_each_ending_has_its_status_and_its_line(
    probe: Path, capsys: pytest.CaptureFixture[str], ending: str, status: int, lines: list[str]
) -> None:
    assert cli.main(["--mode", "probe", "--ending", ending]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    found = printed.err.splitlines()
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True))


def test_ctrl_c_in_a_grid_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ppo.insight.experiments.run.run_experiment", stop)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--mode", "sweep", "--vary", "ppo.learning_rate=1e-3,1e-4"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_bug_of_ours_is_reported_with_its_traceback(
    probe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules["ppo.cli.main"], "results_folder", None)
    assert cli.main(["--mode", "probe"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and "internal error: TypeError: 'NoneType' object is" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "prob"], "--mode prob: unknown; did you mean probe? (known: broken, probe)"),
        (["--mode"], "--mode: expected one argument (see --help)"),
        (["--mode", "probe", "--sed", "1"], "--sed: unknown flag; did you mean --seed? (see"),
        (
            ["--mode", "probe", "--seed", "x"],
            "--seed: must be a whole number, not 'x' (see --help)",
        ),
        (
            ["--mode", "probe", "--quiet", "--verbose"],
            "--verbose: not allowed with argument --quiet",
        ),
        (["--mode", "probe", "ppo.gamma=1"], "ppo.gamma=1: write --set ppo.gamma=1"),
        (
            ["--mode", "probe", "--lr", "3e-4"],
            "--lr: unknown flag; write --set ppo.learning_rate=3e-4 (see",
        ),
        (  # imitation.learning_rate is another one
            ["--mode", "probe", "--learning_rate", "3e-4"],
            "--learning_rate: unknown flag; write --set ppo.learning_rate=3e-4 (see",
        ),
        (
            ["--mode", "probe", "--config", "a.yaml", "--config", "b.yaml"],
            "--config b.yaml: given twice; put one file's lines into the other",
        ),
        (["--mode", "probe", "--wandb"], "--wandb: unknown flag (see"),  # nothing is like it
        (["--mode", "probe", "--gamma=0.9"], "--gamma: unknown flag; write --set ppo.gamma=0.9 ("),
        (
            ["--mode", "probe", "--network.hidden-sizes", "[64, 64]"],
            "--network.hidden-sizes: unknown flag; write --set 'network.hidden_sizes=[64, 64]' (",
        ),
        (["--mode", "probe", "--num-envs"], "--num-envs: unknown flag; write --set env.num_envs=V"),
        (
            ["--mode", "probe", "--env", "CartPole-v1"],
            "--env: unknown flag; write --set env.id=CartPole-v1 (see",
        ),
        (  # in another unit
            ["--mode", "probe", "--batch-size", "64"],
            "--batch-size: unknown flag; write --set ppo.num_minibatches=VALUE (see",
        ),
        (
            ["--mode", "probe", "--train-batch-size", "9"],
            "--train-batch-size: unknown flag; write --set ppo.num_steps=VALUE (see",
        ),
        (["--mode", "probe", "--seed", "1", "broken"], "broken: write --mode broken"),
        (["probe", "--probe-only"], "probe: write python train_cli.py --mode probe --probe-only"),
        (["probe", "--help"], "probe: write python train_cli.py --mode probe --help"),
        (["--mode", "probe", "stray"], "stray: --mode probe takes no such argument"),
        (["--mode", "probe", "--set", "ppo.gama=1"], "--set ppo.gama=1: unknown; did you mean"),
        (["--mode", "probe", "--seed", "-1"], "--set system.seed=-1: must be a whole number"),
        (["--mode", "probe", "--config", "no.yaml"], "no.yaml: no such file"),
        (["--mode", "probe", "--config", "modes"], "modes: is a folder"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line_and_status_2(
    probe: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {message}") and printed.err.count("\n") == 1


def test_a_flag_of_another_mode_names_that_mode(
    probe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (probe / "single_batch.py").write_text(PROBE.replace("--probe-only", "--single"))
    assert cli.main(["--probe-only"]) == 2
    expected = "error: --probe-only belongs to --mode probe, not to --mode single_batch\n"
    assert capsys.readouterr().err == expected


def test_a_flag_that_several_modes_share_belongs_to_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["--mode", "train", "--jobs", "2", "--restarts=1"]) == 2
    assert capsys.readouterr().err == (
        "error: --jobs belongs to --mode ablate, sweep, tune, not to --mode train\n"
        "error: --restarts belongs to --mode ablate, sweep, not to --mode train\n"
    )


def test_the_common_flags_reach_the_mode(probe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seed", "7", "--set", "ppo.gamma=0.5", "--results", "a b", "--verbose"]
    assert cli.main(["--mode", "probe", *arguments]) == 0
    assert capsys.readouterr().out == "probe verbose a b 7 0.5\n"


def test_without_a_file_the_defaults_are_used_and_said_so(
    probe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--mode", "probe"]) == 0
    assert capsys.readouterr().err == "no config.yaml in this folder: the defaults are used\n"
    assert cli.main(["--mode", "probe", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    Path("config.yaml").write_text("ppo: {gamma: 0.25}")
    assert cli.main(["--mode", "probe"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.endswith(" 0.25\n")


@pytest.mark.parametrize("name", ["a b.yaml", "ü'.yaml", "100%.yaml", "new\nline.yaml", "x" * 200])
def test_any_name_of_a_configuration_works_from_any_folder(
    probe: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Path("sub folder").mkdir()
    Path("sub folder", name).write_text("ppo: {gamma: 0.125}")
    assert cli.main(["--mode", "probe", "--config", f"sub folder/{name}"]) == 0
    assert capsys.readouterr().out.endswith(" 0.125\n")
    Path("sub folder", name).write_text("ppo: {gamma: 125}")
    assert cli.main(["--mode", "probe", "--config", os.path.abspath(f"sub folder/{name}")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_lists_the_modes_without_importing_them(
    probe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "broken  cannot be imported" in printed and "probe   ends in the way" in printed
    assert cli.main(["--mode", "probe", "--help"]) == 0
    assert "--ending" in capsys.readouterr().out


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} {ROOT / 'train_cli.py'} --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "0\n" and done.stderr == ""


def test_a_program_without_streams_ends_as_ever_and_gives_their_numbers_to_no_file() -> None:
    numbers = "import os; print(os.path.samefile('/dev/fd/1', '/dev/null'), file=open('seen', 'w'))"
    script = f"from ppo.cli import main; s = main(['--version']); {numbers}; raise SystemExit(s)"
    with tempfile.TemporaryDirectory() as folder:
        line = f"{sys.executable} -c {shlex.quote(script)} >&- 2>&-"
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        assert subprocess.run(["sh", "-c", line], cwd=folder, env=env).returncode == 0
        assert (Path(folder) / "seen").read_text() == "True\n"


def test_nothing_heavy_is_imported_for_help_and_for_mistakes(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import sys
        from ppo.cli import modes
        from ppo.cli import main
        status = [main(["--help"]), main(["--mode", "nonsense"])]
        status += [main(["--mode", name, "--help"]) for name in modes.names()]
        status += [main(["--set", "ppo.gama=1"])]
        heavy = {"torch", "gymnasium", "scipy", "matplotlib", "pandas"} & set(sys.modules)
        print(status, sorted(heavy), file=sys.stderr)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    *mistakes, last = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in mistakes)
    status, heavy = last.split("] [")
    assert heavy == "]", "these are imported before they are needed"
    numbers = [int(word) for word in status.strip("[").split(",")]
    assert numbers == [0, 2, *[0] * len(modes.names()), 2]


def test_the_script_and_the_module_are_the_same_program(tmp_path: Path) -> None:
    for arguments in (["--mode", "trian"], ["--config", "nowhere.yaml"], ["--set", "ppo.gama=1"]):
        done = script(*arguments, cwd=tmp_path)
        module = subprocess.run(
            [sys.executable, "-m", "ppo", *arguments], cwd=tmp_path, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == module.returncode == 2
        assert done.stdout == "" and done.stderr == module.stderr
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "a mistake left something behind"


WORDS = [
    "--mode", "probe", "broken", "nonsense", "--config", "config.yaml", ".", "--set", "ppo.gamma=1",
    "ppo.gamma=[", "ppo=1", "=", "--set=", "--seed", "3", "-1", "x", "--results", "", "--verbose",
    "--quiet", "--help", "-h", "--", "--ending", "user", "--probe-only", "--mode=probe", "-x",
    "\udcff", "\x1b[2J", "a\nb", "--set=env.id=\udcff", "@file", "--resume", "-",
]  # fmt: skip


@settings(
    max_examples=300, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), max_size=6))
def test_any_words_end_in_a_run_or_in_error_lines(
    probe: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    status = cli.main(words)
    error = capsys.readouterr().err
    if status == 2:
        lines = error.splitlines()
        assert lines and all(line.startswith("error: ") and line.isprintable() for line in lines)
    else:  # the broken mode is a bug of its author, and is told as one
        assert status == 0 or (status == 1 and "no_such_package" in error)


@pytest.mark.parametrize("mode", ["train", "options", "diagnose latest"])
def test_a_python_without_the_packages_is_told_which_is_missing(tmp_path: Path, mode: str) -> None:
    """As after `git clone` with the interpreter of the system."""
    words = [sys.executable, "-S", str(ROOT / "train_cli.py"), "--mode", *mode.split()]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"is not installed for {sys.executable}; run: pip install" in last
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "; start it with .venv/bin/python, or run: pip install" in done.stderr
