"""A copy of a run at another address, from which it goes on."""

import contextlib
import errno
import io
import shutil

import fsspec
import pytest

from ppo import Callback, Config, Trainer
from ppo.cli import main
from ppo.cli.console import Console
from ppo.core.errors import RunError, UserError
from ppo.runs.folder import RunFolder
from ppo.runs.mirror import Mirror, local

SETTINGS = [
    "env.id=CartPole-v1", "env.num_envs=2", "ppo.num_steps=8", "ppo.num_minibatches=1",
    "ppo.num_epochs=1", "train.total_timesteps=96", "env.calibration_steps=4",
    "train.checkpoint_interval=1", "evaluation.episodes=2", "network.hidden_sizes=[8]",
    "system.compile=never", "logging.tensorboard=false",
]  # fmt: skip
CLOCK = ("wall_time_s", "steps_per_second", "time_")


def config(address):
    return Config.from_dict({}, [*SETTINGS, f"train.mirror={address}"])


def seen(folder):
    return [
        {key: value for key, value in record.items() if not key.startswith(CLOCK)}
        for record in folder.records()
    ]


@pytest.fixture(params=["memory", "file"])
def address(request, tmp_path):
    if request.param == "file":
        yield f"file://{tmp_path / 'far'}"
        return
    yield "memory://bucket/prefix"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def names(address):
    storage, root = fsspec.core.url_to_fs(address)
    return {path[len(root) :].lstrip("/") for path in storage.find(root)}


def test_the_copy_is_the_run(tmp_path, address):
    with Trainer(config(address), tmp_path / "a") as trainer:
        trainer.train(batches=4)
        folder = trainer.folder
    here = {p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file()}
    assert names(f"{address}/run0001") == {name for name in here if not name.startswith(".")}
    assert len([name for name in here if name.startswith("checkpoints/batch")]) == 3  # of four
    back = RunFolder.open(tmp_path / "b", local(f"{address}/run0001", tmp_path / "b"))
    for name in here:
        if not name.startswith("."):
            assert (back.path / name).read_bytes() == (folder.path / name).read_bytes()


def test_a_run_goes_on_from_its_copy_as_if_nothing_had_been(tmp_path, address):
    with Trainer(config(address), tmp_path / "a") as trainer:
        trainer.train(batches=3)
    with Trainer(config(address), tmp_path / "b", resume=f"{address}/run0001") as trainer:
        trainer.train()
        resumed = seen(trainer.folder)
    with Trainer(config(f"{address}/other"), tmp_path / "c") as trainer:
        trainer.train()
        assert seen(trainer.folder) == resumed
    assert "summary.json" in names(f"{address}/run0001")


def test_whenever_the_machine_dies_the_copy_goes_on(tmp_path, address, monkeypatch):
    """The second copy breaks off after each number of operations in turn."""
    settings = Config.from_dict({}, SETTINGS)
    with Trainer(settings, tmp_path / "whole") as trainer:
        trainer.train(batches=6)
        whole = seen(trainer.folder)
    storage, root = fsspec.core.url_to_fs(address)
    first, second = tmp_path / "first", tmp_path / "second"
    with Trainer(settings, tmp_path / "run") as trainer:
        trainer.train(batches=4)
        shutil.copytree(trainer.folder.path, first / "run0001")
        trainer.train(batches=1)  # three checkpoints are kept, so that one of those goes
        shutil.copytree(trainer.folder.path, second / "run0001")
    reached = []
    while max(reached, default=0) < 5:
        count = len(reached)
        place = tmp_path / f"dies{count}"
        shutil.copytree(first / "run0001", place / "run0001")
        mirror = Mirror(address, place / "run0001")
        shutil.copytree(second / "run0001", place / "run0001", dirs_exist_ok=True)
        kept = {path.name for path in (second / "run0001" / "checkpoints").iterdir()}
        for path in (place / "run0001" / "checkpoints").iterdir():
            if path.name not in kept:
                path.unlink()
        with monkeypatch.context() as patch:
            left = iter(range(count))
            for kind in ("pipe_file", "rm_file"):
                patch.setattr(storage, kind, dying(getattr(storage, kind), left))
            with contextlib.suppress(RunError):
                mirror.push()
        with Trainer(settings, place / "b", resume=f"{address}/run0001") as trainer:
            trainer.train(batches=1)
            reached.append(trainer.learner.counters["batch"] - 1)
            while trainer.learner.counters["batch"] < 6:
                trainer.train(batches=1)
            assert seen(trainer.folder) == whole
        storage.rm(root, recursive=True)
    assert reached == [4] * count + [5] and count > 2


def dying(operation, left):
    """As a disk that is full: half of what it still writes is there."""

    def once_more(path, *data):
        if next(left, None) is None:
            if data:
                operation(path, data[0][: len(data[0]) // 2])
            raise OSError(errno.ENOSPC, "no space left on the device")
        return operation(path, *data)

    return once_more


def test_a_run_never_overwrites_the_copy_of_another(tmp_path, address):
    with Trainer(config(address), tmp_path / "a") as trainer:
        trainer.train(batches=1)
    before = names(address)
    with Trainer(config(address), tmp_path / "b") as trainer:
        with pytest.raises(UserError, match="holds another run; .*--resume"):
            trainer.train(batches=1)
    assert names(address) == before


def test_a_fault_of_the_address_is_told_once_and_ends_nothing(tmp_path, monkeypatch, capsys):
    def refuse(self):
        raise RunError("the copy failed (gone)")

    with Trainer(config(f"file://{tmp_path / 'far'}"), tmp_path / "a") as trainer:
        trainer.train(batches=1)
        monkeypatch.setattr(Mirror, "push", lambda self: None)
        trainer.train(batches=1)
        monkeypatch.setattr(Mirror, "push", lambda self: None)
        mirroring = trainer.observers[-1]
        monkeypatch.setattr(mirroring, "on_start", lambda trainer: None)
        monkeypatch.setattr(Mirror, "push", refuse)
        summary = trainer.train(batches=3)
        assert summary["status"] == "finished"
        told = [e for r in trainer.folder.records() for e in r["events"] if "train.mirror" in e]
    assert len(told) == 1 and "training goes on" in told[0]


def test_a_copy_that_is_not_whole_at_the_end_is_told_then(tmp_path, monkeypatch):
    class Last(Callback):
        def on_end(self, trainer, summary):
            monkeypatch.setattr(Mirror, "push", refuse)

    def refuse(self):
        raise RunError("the copy failed (gone)")

    shown, far = io.StringIO(), f"file://{tmp_path / 'far'}"
    console = Console(shown)
    with Trainer(config(far), tmp_path / "a", callbacks=Last(), console=console) as trainer:
        trainer.train(batches=1)
    told = " ".join(shown.getvalue().split())
    assert f"{far}/run0001: the copy failed (gone); the run there is not whole" in told


@pytest.mark.slow
def test_a_server_that_speaks_s3(tmp_path, monkeypatch):
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for key, value in {
            "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():  # fmt: skip
            monkeypatch.setenv(key, value)
        fsspec.filesystem("s3").mkdir("bucket")
        with Trainer(config("s3://bucket/prefix"), tmp_path / "a") as trainer:
            trainer.train(batches=3)
            first = seen(trainer.folder)
        again = "s3://bucket/prefix/run0001"
        with Trainer(config("s3://bucket/prefix"), tmp_path / "b", resume=again) as trainer:
            trainer.train(batches=2)
            assert seen(trainer.folder)[:3] == first
        with pytest.raises(UserError, match="train.mirror: s3://none/x: .*copy failed|cannot"):
            Trainer(config("s3://none/x"), tmp_path / "c").train(batches=1)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("bucket/prefix", "'bucket/prefix'; allowed: an address"),
        ("nosuch://bucket", "nosuch://bucket: .*nosuch"),
        ("file:///proc/nowhere", "file:///proc/nowhere: .*copy failed"),
    ],
)
def test_an_address_that_does_not_work_is_refused_at_the_start(tmp_path, setting, words):
    with pytest.raises(UserError, match=f"train.mirror: {words}"):
        Trainer(config(setting), tmp_path).train(batches=1)


def test_what_cannot_be_fetched_is_one_line(tmp_path, capsys):
    (tmp_path / "results" / "run0001").mkdir(parents=True)
    far = tmp_path / "far"
    (far / "run0001").mkdir(parents=True)
    (far / "run0001" / "config.yaml").write_text("{}")
    (far / "run0002").mkdir()
    for address, words in {
        f"file://{far}/run0001": "is in",
        f"file://{far}/run0002": "no run there",
        f"file://{far}/other": "must end in a run",
        "nosuch://bucket/run0001": "nosuch",
    }.items():
        argv = ["--mode", "train", "--resume", address, "--results", str(tmp_path / "results")]
        assert main(argv) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and words in said[0], said


def test_a_copy_that_breaks_off_leaves_nothing(tmp_path, address, monkeypatch):
    with Trainer(config(address), tmp_path / "a") as trainer:
        trainer.train(batches=1)
    storage, _ = fsspec.core.url_to_fs(address)
    read = type(storage).cat_file

    def gone(self, path, **options):
        if "checkpoints" in path:
            raise OSError("the connection is gone")
        return read(self, path, **options)

    monkeypatch.setattr(type(storage), "cat_file", gone)
    with pytest.raises(UserError, match="the connection is gone"):
        local(f"{address}/run0001", tmp_path / "b")
    assert not list((tmp_path / "b").iterdir())
