"""Each safeguard taken out of the code makes a test fail: the tests see what they claim to see."""

from __future__ import annotations

import pytest
from mutated_tree import change, places_of, run_tests

# what is taken out: the code, what stands there in its place, the tests that must notice
MUTATIONS = {
    "sync of a file before its name": (
        "            os.fsync(fd)\n        finally", "            pass\n        finally",
        "power_loss",
    ),
    "sync of a folder after a rename": (
        "    fsync_folder(path.parent)\n\n\ndef atomic", "\n\ndef atomic", "power_loss",
    ),
    "sync of a folder after mkdir": (
        "        fsync_folder(path.parent)", "        pass", "power_loss",
    ),
    "rename: the file written in place": (
        "    commit(write_temporary(path, data), path)",
        "    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)\n"
        "    write_all(fd, data, 0)\n    os.fsync(fd)\n    os.close(fd)",
        "kill_at_every_operation",
    ),
    "several writes where the kernel takes a part": (
        "        view, offset = view[written:], offset + written", "        break",
        "metrics_file",
    ),
    "exclusive mkdir": (
        "    except FileExistsError:\n        return False\n    try", "    except"
        " FileExistsError:\n        return True\n    try", "folder",
    ),
    "removal of a leftover temporary link": (
        "        os.unlink(draft)\n        os.link(source, draft)", "        pass",
        "metrics_file",
    ),
    "two copies: the public file written in place": (
        "            files.link_over(first, self.public)\n        except",
        "            raise OSError(errno.EPERM, '')\n        except",
        "kill_at_every_operation or metrics_file",
    ),
    "lines that the other copy lacks": (
        "private.add([*self._behind, line])", "private.add([line])", "metrics_file",
    ),
    "sync of the metrics before a checkpoint": (
        "        folder.sync()", "        pass", "power_loss",
    ),
    "sync of both copies": (
        "                self._copies[0].add(self._behind)\n"
        "                self._behind = []", "                pass", "power_loss",
    ),
    "sync of the copies": (
        "                os.fsync(copy.fd)", "                pass", "power_loss",
    ),
    "tolerance for zeros after a record": (
        'text.rstrip(b"\\0")', "text", "power_loss",
    ),
    "null for what is not finite": (
        "isinstance(value, float) and not math.isfinite(value)", "False", "folder or metrics_file",
    ),
    "cut of the log on resume": (
        "read_lines(self.folder)[:num_batches]", "read_lines(self.folder)",
        "kill_at_every_operation",
    ),
    "cut of the episodes on resume": (
        "num_batches is None or int(row[0]) < num_batches", "True",
        "kill_at_every_operation",
    ),
    "lock": (
        "flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB", "flock(fd, fcntl.LOCK_SH", "folder",
    ),
    "workers let go of the lock": (
        "os.register_at_fork(after_in_child=_forget_in_child)", "", "folder",
    ),
    "names that lead out": (
        "real.parent != Path(os.path.realpath(results))", "False", "names",
    ),
    "digest": ("digest.hexdigest()[:16] != match[3]", "False", "checkpoint"),
    "limit of the header": (
        "size > min(HEADER_LIMIT, len(data) - 8)", "False", "checkpoint",
    ),
    "batch in the name and in the file": (
        "batch != int(match[2]) or ", "", "checkpoint",
    ),
    "finite tensors": ("            if bad:", "            if False:", "checkpoint"),
    "version": ("    if version > SCHEMA_VERSION", "    if False", "checkpoint"),
    "best before newest": (
        "        if best:\n", "        if best and batch > 3:\n",
        "kill_at_every_operation or checkpoint",
    ),
    "deleting after committing": (
        "        path = _commit(folder, f\"batch_",
        "        _delete_old(folder.checkpoints / f\"batch_{batch:06d}-{digest}.safetensors\", 1)\n"
        "        for p in _list(folder.checkpoints, \"batch\"): files.remove(p)\n"
        "        path = _commit(folder, f\"batch_", "kill_at_every_operation or power_loss",
    ),
    "ignored signals stay ignored": (
        "            if signal.getsignal(number) is not signal.SIG_IGN:",
        "            if True:", "signals",
    ),
    "children of the second signal": (
        "            child.kill()", "            pass", "signals",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("safeguard", MUTATIONS)
def test_a_safeguard_taken_out_is_noticed(tmp_path, safeguard):
    code, replacement, selection = MUTATIONS[safeguard]
    change(tmp_path, code, replacement)
    assert run_tests(tmp_path, "tests/runs", "tests/core/test_signals.py", "-k", selection) == 1


@pytest.mark.parametrize("safeguard", MUTATIONS)
def test_the_safeguard_that_is_taken_out_stands_there_once(safeguard):
    assert len(places_of(MUTATIONS[safeguard][0])) == 1
