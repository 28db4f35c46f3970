"""The same promises without the shim: real kills at random instants, a disk that is really full."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import strict_loads


def append_without_end(results) -> None:
    folder = RunFolder.create(results)
    for batch in range(10**9):
        folder.append({"batch": batch, "pad": "x" * (1000 + batch % 1000)})


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_random_kills_of_a_writer_in_a_tight_loop_leave_valid_json(tmp_path, place):
    draw = random.Random(0)
    root = tmp_path if place == "disk" else f"/dev/shm/{tmp_path.name}-{os.getpid()}"
    invalid = records = 0
    for attempt in range(150):
        results = f"{root}/{attempt}"
        pid = os.fork()
        if pid == 0:
            append_without_end(results)
        time.sleep(draw.uniform(0.02, 0.06))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        try:
            data = open(f"{results}/run0001/loss_metrics.json", "rb").read()
            records += len(strict_loads(data)["batches"])
        except FileNotFoundError:
            continue
        except ValueError:
            invalid += 1
        shutil.rmtree(results)
    shutil.rmtree(root, ignore_errors=True)
    assert invalid == 0 and records > 1500


FILL = """
import sys
from ppo.core.errors import RunError, UserError
from ppo.runs.metrics_file import strict_loads
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import read_records
folder = RunFolder.create(sys.argv[1])
try:
    for batch in range(10_000):
        folder.append({"batch": batch, "pad": "x" * 1000})
except RunError as error:
    assert "ENOSPC" in str(error) and "\\n" not in str(error), error
folder.release()
content = (folder.path / "loss_metrics.json").read_bytes()
count = len(strict_loads(content)["batches"])
assert count == batch > 300, (count, batch)
try:
    RunFolder.create(sys.argv[1], room=10**6)
except UserError as error:
    assert "--results" in str(error) and "ENOSPC" in str(error), error
assert len(read_records(folder.path)) == count
print("full at", count)
"""


@pytest.mark.slow
def test_a_disk_that_is_really_full_leaves_every_record(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    private = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, str(disk)]
    try:
        subprocess.run([*private, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine allows no private mount: {error}")
    done = subprocess.run(
        [*private, sys.executable, "-c", FILL, str(disk)], capture_output=True, text=True
    )
    assert done.returncode == 0 and "full at" in done.stdout, done.stderr
