"""The doctor in a training of another library: a callback for Stable-Baselines3, or `Watch`."""

from __future__ import annotations

from typing import Any

from ppo.insight.doctor import Watch

__all__ = ["StableBaselines3Callback", "Watch"]  # noqa: F822


def __getattr__(name: str) -> Any:  # Stable-Baselines3 is imported only by those who use it
    if name != "StableBaselines3Callback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ppo.insight.live import stable_baselines3_callback

    return stable_baselines3_callback()
