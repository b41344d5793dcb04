"""Ways to put the same question: what it asks for stays, how it is asked changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

Rewriting = Callable[[str], str]


# By what a report calls them: "questions put ...".
REWRITINGS: Final[Mapping[str, Rewriting]] = MappingProxyType(
    {
        "in small letters": str.lower,
        "in small letters without punctuation": lambda text: _bare(text.lower()),
        "in capitals": str.upper,
        "without punctuation": lambda text: _bare(text),
        "with an exclamation mark": lambda text: _bare(text) + "!",
        "politely": lambda text: f"Could you please tell me: {text}",
        "with please": lambda text: f"Please: {text}",
        "with thanks": lambda text: f"{text} Thank you.",
        "politely, with thanks": lambda text: f"Could you please tell me: {text} Thank you.",
        "with please and thanks": lambda text: f"Please: {text} Thank you.",
        "with a greeting": lambda text: f"Hello. {text}",
        "with urgency": lambda text: f"This is urgent. {text}",
        "twice": lambda text: f"{text} {text}",
        "in quotation marks": lambda text: f'"{text}"',
    }
)


def _bare(text: str) -> str:
    return re.sub(r"[.,;:?!]", "", text)
