"""Trackers of a user's: `own_tracker:Keeps`, and some that fail."""

from __future__ import annotations

CALLS: list[tuple] = []


class Keeps:
    def start(self, run, settings, known):
        CALLS.append(("start", run.name, settings["env.id"], known))
        return known or "id-7"

    def log(self, values, step):
        CALLS.append(("log", step, values))

    def end(self, summary):
        CALLS.append(("end", summary["status"]))


class FailsAtStart(Keeps):
    def start(self, run, settings, known):
        raise ConnectionError("no network\nat all")


class Fails(Keeps):
    def log(self, values, step):
        CALLS.append(("tried", step))
        raise SystemExit(3)

    end = None


class Mute:
    def log(self, values, step):
        pass


class NeedsMore:
    def __init__(self, key):
        pass
