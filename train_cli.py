"""Train, evaluate and diagnose: `python train_cli.py --help`."""

import sys

from ppo.cli import main

if __name__ == "__main__":
    sys.exit(main())
