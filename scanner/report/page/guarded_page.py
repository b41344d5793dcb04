"""What keeps a page harmless, whatever a model wrote: it loads nothing, and every text stays text.

Every value that a template prints is cut, its hidden characters are spelt out, and Jinja escapes it; a
content security policy names the one style and the one script by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .. import figures
from ..escaping import cut, quoted


def policy(style: str, script: str) -> str:
    """The content security policy that allows exactly this style and this script, and no request at all."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def asset(name: str) -> str:
    """A style or a script of the templates, as text."""
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def page_environment(longest: int) -> Environment:
    """A template environment whose every value is guarded; pages add filters and globals of their own.

    Args:
        longest: characters of any one value, if a template forgot to cut it.
    """

    def harmless(value: object) -> object:
        if isinstance(value, str) and not isinstance(value, Markup):
            return cut(value, limit=longest)
        return value

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(quoted=quoted, line=cut, share=figures.share)
    return environment
