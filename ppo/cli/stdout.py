"""Standard output that holds one thing only, whatever an environment prints."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def kept_clean(wanted: bool = True) -> Iterator[None]:
    """What is printed within, by Python or by a library of C, goes to standard error.

    Args:
        wanted: whether to do so, such as `args.json`.
    """
    if not wanted:
        yield
        return
    sys.stdout.flush()
    with contextlib.ExitStack() as undo:
        undo.enter_context(contextlib.redirect_stdout(sys.stderr))
        with contextlib.suppress(OSError):  # a process may have been started without them
            held = os.dup(1)
            undo.callback(os.close, held)
            undo.callback(os.dup2, held, 1)
            os.dup2(2, 1)
        yield
