"""How often the importance of settings names the wrong one, by the number of finished trials.

Random searches of two settings, of which one moves the return by three times its noise and the
other does nothing. `python benchmarks/importance.py` takes a minute and prints one line a number.
"""

from __future__ import annotations

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

SEARCHES = 60


def share_of_the_cause(trials: int, draw: np.random.Generator) -> float:
    """Importance of the setting that matters, after one search."""
    study = optuna.create_study(direction="maximize")
    space = {"cause": FloatDistribution(0, 1), "idle": FloatDistribution(0, 1)}
    for _ in range(trials):
        params = {name: float(draw.random()) for name in space}
        value = -36 * (params["cause"] - 0.6) ** 2 + draw.normal()
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=value))
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())["cause"]


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw = np.random.default_rng(0)
    for trials in (5, 10, 20, 40, 80):
        shares = np.array([share_of_the_cause(trials, draw) for _ in range(SEARCHES)])
        print(f"{trials:3} trials: wrong setting first in {(shares < 0.5).mean():.0%}")


if __name__ == "__main__":
    main()
