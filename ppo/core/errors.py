"""The ways in which a run may end that are not a bug of this package."""

from __future__ import annotations


def one_line(text: str) -> str:
    """`text` with everything escaped that would break the line or steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UserError(ValueError):
    """A mistake of the user: one line each, naming the key or the file and what is allowed."""

    exit_status = 2

    def __init__(self, *messages: str) -> None:
        self.messages = list(messages)
        super().__init__("\n".join(messages))


class RunError(RuntimeError):
    """The run cannot go on for a reason outside the configuration (disk full, a lost worker)."""

    exit_status = 1


class EnvironmentFault(RunError):
    """An environment failed in a way that the trainer may not hide."""


class Dropped(Exception):
    """A stop was requested and this would outlast its grace; on resume it is done again."""


class Diverged(RuntimeError):
    """Training diverged and was stopped; the last good checkpoint is on disk."""

    exit_status = 4
