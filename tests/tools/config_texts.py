"""A configuration from the text of its file, and what is wrong with one."""

from pathlib import Path

import pytest

from ppo.config import Config
from ppo.core.errors import UserError


def load(tmp_path: Path, text: str | bytes, *overrides: str) -> Config:
    file = tmp_path / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Config.load(file, overrides)


def mistakes(tmp_path: Path, text: str | bytes, *overrides: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text, *overrides)
    return [line.replace(f"{tmp_path}/", "") for line in caught.value.messages]
