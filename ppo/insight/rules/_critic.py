"""What a critic has learned, whatever its targets are."""

from __future__ import annotations

from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules._signs import known, median

LEARNS = 0.8  # of its first error, below which a critic moves (J)
ROWS = 20  # errors that show it (J)


def stands(log: MetricsLog) -> bool:
    """Whether the critic has not even learned the mean of its targets.

    Where no reward arrives a critic that is trained makes its error vanish.
    """
    _, errors = known(log.get("value_rmse"))
    return len(errors) >= ROWS and median(errors[-5:]) > LEARNS * median(errors[:5])
