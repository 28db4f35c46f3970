"""Which settings change what is learned, so that runs which differ in one are not of one group."""

from __future__ import annotations

from typing import Any

# Settings that do not change what is learned; runs that differ in nothing else are one group.
IRRELEVANT = {
    "system.seed",
    "system.threads",
    "system.device",
    "system.compile",
    "train.checkpoint_interval",
    "train.keep_checkpoints",
    "train.grace_seconds",
    "train.mirror",
    "env.workers",
    "env.step_timeout",
    "env.reset_timeout",
}
IRRELEVANT_SECTIONS = ("logging.", "evaluation.")
# Values that give the data of another one; `torch` and a foreign vectorized form need not.
SAME_DATA = {("env.backend", "async"): "sync"}
CLEANRL_IRRELEVANT = (
    "capture_video cuda hf_entity save_model torch_deterministic track upload_model "
    "wandb_entity wandb_project_name"
).split()
IRRELEVANT |= {f"cleanrl.{name}" for name in CLEANRL_IRRELEVANT}


def relevant(settings: dict[str, Any]) -> dict[str, Any]:
    """Those that change what is learned, dotted; values of the same data are one value."""
    return {
        key: SAME_DATA.get((key, str(value)), value)
        for key, value in settings.items()
        if key not in IRRELEVANT and not key.startswith(IRRELEVANT_SECTIONS)
    }
