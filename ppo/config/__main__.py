"""`python -m ppo.config.file > config.yaml` writes every option with its default."""

import sys

from ppo.config import Config

if __name__ == "__main__":
    sys.stdout.write(Config().to_yaml())
