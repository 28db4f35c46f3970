"""Files of demonstrations as arrays by name.

Formats by file name: .npz, .safetensors, .hdf5 or .h5 (needs the extra `demos`), and a Minari data
set (its folder or its main_data.hdf5). Nothing in such a file is executed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from ppo.core.errors import UserError
from ppo.core.program import install

Raw = dict[str, np.ndarray]
FAULTS = (OSError, ValueError, KeyError, EOFError, BadZipFile, RuntimeError, SafetensorError)


def load(path: Path) -> list[Raw]:
    """The file's arrays: one dictionary, or one for each episode of a Minari data set.

    Raises:
        UserError: it cannot be read.
    """
    if path.is_dir():
        path = _minari_file(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise UserError(f"{path}: unknown ending; allowed: {', '.join(sorted(_READERS))}")
    try:
        return reader(path)
    except UserError:
        raise
    except FAULTS as error:
        raise UserError(f"{path}: cannot be read ({_reason(error)})") from None


def _minari_file(folder: Path) -> Path:
    for name in ("data/main_data.hdf5", "main_data.hdf5"):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: no data/main_data.hdf5 in it; give a file or a Minari data set")


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__


def _read_npz(path: Path) -> list[Raw]:
    with np.load(path, allow_pickle=False) as file:
        return [{name: file[name] for name in file.files}]


def _read_safetensors(path: Path) -> list[Raw]:
    return [load_file(path)]


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise UserError(
            f"--data: .hdf5 files need the package h5py; run: {install('demos')}"
        ) from None
    return h5py


def _read_hdf5(path: Path) -> list[Raw]:
    with _h5py().File(path, "r") as file:
        names = [name for name in file if name.startswith("episode_") and _is_group(file[name])]
        if names:
            names.sort(key=lambda name: int(name[8:]) if name[8:].isdigit() else -1)
            return [_minari_episode(file[name]) for name in names]
        return [{name: _array(file[name]) for name in file}]


def _is_group(node: Any) -> bool:
    return hasattr(node, "keys")


def _array(node: Any) -> np.ndarray:
    """A data set, or a group of them side by side, in the order of their names."""
    if not _is_group(node):
        return np.asarray(node)
    parts = [_array(node[name]) for name in sorted(node)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)


def _minari_episode(group: Any) -> Raw:
    """Minari keeps one observation more than actions: the last one is not acted on."""
    fields = ("observations", "actions", "rewards")
    found = {name: _array(group[name]) for name in fields if name in group}
    if "observations" in found and "actions" in found:
        found["observations"] = found["observations"][: len(found["actions"])]
        ends = np.zeros(len(found["actions"]), bool)
        ends[-1:] = True
        found["episode_ends"] = ends
    return found


def writer_of(path: Path) -> Callable[[Raw], bytes]:
    """What makes the content of a file of this name.

    Raises:
        UserError: another ending, or the package for it is missing.
    """
    writer = _WRITERS.get(path.suffix)
    if writer is None:
        raise UserError(f"--data {path}: unknown ending; allowed: {', '.join(sorted(_WRITERS))}")
    if writer is _hdf5:
        _h5py()
    return writer


def _npz(arrays: Raw) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _safetensors(arrays: Raw) -> bytes:
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _hdf5(arrays: Raw) -> bytes:
    buffer = io.BytesIO()
    with _h5py().File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return buffer.getvalue()


_READERS: dict[str, Callable[[Path], list[Raw]]] = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".hdf5": _read_hdf5,
    ".h5": _read_hdf5,
}
_WRITERS: dict[str, Callable[[Raw], bytes]] = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".hdf5": _hdf5,
    ".h5": _hdf5,
}
