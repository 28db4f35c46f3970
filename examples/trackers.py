"""A tracker of your own, beside those that are named in logging.trackers.

python examples/trackers.py            # "logging.trackers=[wandb]" reports there
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ppo import Config, Trainer


class Lines:
    """Every figure as a line of JSON in the run folder."""

    def start(self, run: Path, settings: dict[str, Any], known: str | None) -> str | None:
        self.file = (run / "figures.jsonl").open("a")
        return run.name

    def log(self, values: dict[str, float], step: int) -> None:
        self.file.write(json.dumps({"step": step, **values}) + "\n")

    def end(self, summary: dict[str, Any]) -> None:
        self.file.close()


if __name__ == "__main__":
    own = "logging.trackers=['trackers:Lines']"
    with Trainer(Config.load(overrides=["env.id=CartPole-v1", own, *sys.argv[1:]])) as trainer:
        trainer.train()
