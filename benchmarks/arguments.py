"""The arguments of a benchmark: its page, as it is written, is its help."""

from __future__ import annotations

import argparse


def parser_for(page: str | None) -> argparse.ArgumentParser:
    """A parser whose help shows the page of a script with its own line breaks."""
    return argparse.ArgumentParser(description=page, formatter_class=argparse.RawDescriptionHelpFormatter)
