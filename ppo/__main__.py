"""`python -m ppo` is `python train_cli.py`."""

import sys

from ppo.cli import main

if __name__ == "__main__":
    sys.exit(main())
