"""What every section of settings is made of: its base, a setting, and the types of values."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ppo.core import imports
from ppo.core.errors import UserError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
OwnPart = Annotated[str, Field(pattern=imports.PATTERN, json_schema_extra={"form": imports.FORM})]
Options = dict[str, Any]


class Section(BaseModel):
    """A group of settings: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def __setattr__(self, name: str, value: Any) -> None:
        """
        Raises:
            UserError: settings do not change; says how to make others.
        """
        if name.startswith("_"):
            return super().__setattr__(name, value)
        section = type(self).__name__.removesuffix("Config").lower()  # none of the whole
        try:
            text = json.dumps(value)  # which is YAML, too
        except (TypeError, ValueError):
            text = "..."
        key = f"{section}.{name}" if section else name
        change = f"{key}={text}" if section else f"{key}.KEY=VALUE"
        raise UserError(
            f"{key}: a configuration does not change; make another one: "
            f"config = config.with_overrides([{change!r}])"
        )


def setting(
    default: Any,
    description: str,
    *,
    common: bool = False,
    source: str = "",
    imports: bool = False,
    auto: bool = False,
    **limits: Any,
) -> Any:
    """A field with its one-line comment.

    Args:
        common: shown in config.yaml; every other setting is for experts.
        source: the paper or library that the setting comes from.
        imports: it may name code of the user's, which is imported; see ppo/runs/trust.py.
        auto: it may be `auto`, and is where it is left out; `default` stands in until then.
        limits: of pydantic's `Field`.
    """
    extra: dict[str, Any] = {
        "common": common,
        "source": source,
        "imports": imports,
        "chosen": auto,
    }
    return Field(default, description=description, json_schema_extra=extra, **limits)
