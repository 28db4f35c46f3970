"""The user's callbacks: called in every process alike, saved and resumed."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from ppo.core import parallel
from ppo.core.errors import RunError, UserError
from ppo.core.signals import INTERRUPTED, SignalGuard
from ppo.training.callback_state import pack, unpack

States = tuple[dict[str, Any], dict[str, Tensor]]  # of callbacks: JSON, and the tensors in it


class Callbacks:
    """The user's callbacks; their faults are raised under their names.

    Attributes:
        event: for which they are called; None: they are not called now.
        record: the batch's, while they are called for it.
        restoring: whether they begin and their states are loaded afterwards.
    """

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self.named: dict[str, Any] = {}
        self.event: str | None = None
        self.record: dict[str, Any] | None = None
        self.restoring = False
        for callback in callbacks:
            kind = type(callback).__name__
            count = sum(type(other).__name__ == kind for other in self.named.values())
            self.named[f"{kind}#{count + 1}" if count else kind] = callback

    def __bool__(self) -> bool:
        return bool(self.named)

    def begin(self, trainer: Any, guard: SignalGuard | None, states: States | None) -> list[str]:
        """`on_start`, then their states; events for callbacks that come or go.

        Args:
            states: what `state` gave when the run was stopped; None: it begins.

        Raises: the first fault of one of them, in every process.
        """
        self.restoring = states is not None
        try:
            fault = self.ask(trainer, guard, "on_start")
        finally:
            self.restoring = False
        if fault is not None:
            raise fault
        return [] if states is None else self._load(*states)

    def ask(
        self, trainer: Any, guard: SignalGuard | None, event: str, *args: Any
    ) -> BaseException | None:
        """Calls all, in every process, with the arguments of the first one.

        Args:
            guard: ends the run where one of them was interrupted.

        Returns:
            The first fault of one of them, in every process.
        """
        if not self:
            return None
        fault = self.tell(event, trainer, *parallel.share_json(args, trainer.device))
        if isinstance(fault, KeyboardInterrupt) and guard is not None:
            guard.stop(INTERRUPTED)
            fault = None
        if parallel.any_(fault is not None, trainer.device):
            return fault or RunError("another process could not go on; it says why")
        if parallel.world_size() > 1:
            settings = trainer.settings
            settings.load(parallel.share_json(settings.state(), trainer.device))
        return None

    def tell(self, event: str, *args: Any) -> BaseException | None:
        """Calls the method of every callback, also after a fault; returns the first fault.

        Args:
            args: the trainer, and the record of `on_batch` or what else the event has.
        """
        self.event, self.record = event, args[1] if event == "on_batch" else None
        try:
            faults = [self._call(name, event, *args)[1] for name in self.named]
        finally:
            self.event = self.record = None
        return next((fault for fault in faults if fault is not None), None)

    def state(self) -> States:
        """The state of each by its name, as JSON, and the tensors that are part of them.

        Raises: what a callback's `state_dict` raises, as an error that names the callback.
        """
        tensors: dict[str, Tensor] = {}
        found = {}
        for name in self.named:
            state, fault = self._call(name, "state_dict")
            if fault is not None:
                raise fault
            found[name] = pack(state or {}, f"callback {name}: state_dict", tensors)
        return found, tensors

    def _load(self, states: dict[str, Any], tensors: dict[str, Tensor]) -> list[str]:
        for name in (name for name in self.named if name in states):
            _, fault = self._call(name, "load_state_dict", unpack(states[name], tensors))
            if fault is not None:
                raise fault
        gone = [name for name in states if name not in self.named]
        new = [name for name in self.named if name not in states]
        return [f"resumed without the callback {name}" for name in gone] + [
            f"resumed with a new callback {name}" for name in new
        ]

    def _call(self, name: str, event: str, *args: Any) -> tuple[Any, BaseException | None]:
        """What the method gave, and what it raised as an error to show to the user."""
        method = getattr(self.named[name], event, None)
        if method is None:
            return None, None
        try:
            return method(*args), None
        except KeyboardInterrupt as stop:
            return None, stop
        except UserError as error:
            fault = UserError(*(f"callback {name}: {message}" for message in error.messages))
            fault.__cause__ = error
            return None, fault
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            told = RunError(f"callback {name}: {event} raised {error!r} ({place})")
            told.__cause__ = error
            return None, told
