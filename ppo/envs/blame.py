"""Where in a user's own code an exception began: see ppo/core/blame.py."""

from ppo.core.blame import described, is_raised_by_gymnasium, place_of, raised

__all__ = ["described", "is_raised_by_gymnasium", "place_of", "raised"]
