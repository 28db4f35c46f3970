"""The command line."""

from ppo.cli.main import main

__all__ = ["main"]
