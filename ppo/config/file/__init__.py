"""config.yaml: read without surprises, refused with all mistakes at once, written with comments.

`python -m ppo.config > config.yaml` writes the common defaults. Nothing here imports torch.
"""

from ppo.config.file.checking import build
from ppo.config.file.loading import from_dict, load, load_run, with_overrides
from ppo.config.file.writing import plain, to_yaml

__all__ = ["build", "from_dict", "load", "load_run", "plain", "to_yaml", "with_overrides"]
