"""Where in a user's own code an exception began: the line to look at, in place of a traceback."""

from __future__ import annotations

import inspect
import os
import site
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium

# Folders; each ends in a separator, so that `ppo_envs.py` beside the package is not in it.
_OURS = str(Path(__file__).parents[1]) + os.sep
_GYMNASIUM = str(Path(gymnasium.__file__).parent) + os.sep
_LIBRARIES = tuple(p + os.sep for p in (sysconfig.get_paths()["stdlib"], *site.getsitepackages()))


def described(error: BaseException) -> str:
    """What was raised and where, in one line."""
    error = _first(error)
    text = f"{type(error).__name__}: {brief(error, str)}".rstrip(": ")
    place = place_of(error)
    return f"{text} ({place})" if place else text


def raised(error: BaseException) -> str:
    """`raised KeyError('goal') (file:line in function)`, to follow the name of a method."""
    place = place_of(error)
    return f"raised {brief(error)}" + (f" ({place})" if place else "")


def brief(value: Any, words: Callable[[Any], str] = repr, longest: int = 500) -> str:
    """A value in one line of so many characters at most, also where it cannot show itself."""
    try:
        text = " ".join(words(value).split())
    except Exception:
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _first(error: BaseException) -> BaseException:
    """The error itself, or the one that Gymnasium's `make` raises again with words of its own."""
    inner = error.__context__
    again = type(inner) is type(error) and str(error).startswith(str(inner))
    return inner if inner is not None and again and is_raised_by_gymnasium(error) else error


def place_of(error: BaseException) -> str:
    """`file:line in function` of the deepest frame that is the user's, or ""."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename[:1] != "<"]
    foreign = [f for f in frames if not f.filename.startswith((_OURS, _GYMNASIUM))]
    own = [f for f in foreign if not f.filename.startswith(_LIBRARIES)]
    if not foreign:
        return ""
    frame = (own or foreign)[-1]
    return f"{_short(frame.filename)}:{frame.lineno} in {frame.name}"


def is_of_users(error: BaseException) -> bool:
    """Whether the exception began in a user's own code, or in a library that this called."""
    frames = [f.filename for f in traceback.extract_tb(error.__traceback__)]
    while frames and (frames[-1].startswith(_LIBRARIES) or frames[-1][:1] == "<"):
        frames.pop()
    return bool(frames) and not frames[-1].startswith((_OURS, _GYMNASIUM))


def place_of_class(kind: Any) -> str:
    """`file:line` where a class of the user's begins, or ""."""
    try:
        file, line = inspect.getsourcefile(kind), inspect.getsourcelines(kind)[1]
    except (OSError, TypeError):
        return ""
    return "" if file is None or file.startswith(_OURS) else f"{_short(file)}:{line}"


def is_raised_by_gymnasium(error: BaseException) -> bool:
    """Whether the exception began in one of Gymnasium's wrappers, or in ours."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith((_GYMNASIUM, _OURS))


def _short(filename: str) -> str:
    """Relative to the working directory, where the file lies in it."""
    try:
        return filename.removeprefix(os.getcwd() + os.sep)
    except FileNotFoundError:  # the working directory was removed
        return filename


def cannot_unpack(error: BaseException) -> bool:
    """Whether one of the wrappers around the environment got another number of values."""
    return (
        isinstance(error, ValueError | TypeError)
        and "unpack" in str(error)
        and is_raised_by_gymnasium(error)
    )
