"""What the processes of scans are told of the machine that they share: variables, which every process of theirs inherits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def handed_down(variables: Mapping[str, str]) -> Iterator[None]:
    """Within the block processes are started with these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
