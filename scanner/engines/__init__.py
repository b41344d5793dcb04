"""Where independent pieces of work run: in this process, or on the machines of a Ray cluster.

A piece is text, what comes of it is text (JSON of whoever asked), and the worker that makes one of the other is
named, not sent. Outcomes come with the piece's number, so that whoever asked merges them in an order of its own, and the
same pieces give the same whole wherever they ran.
"""

from .contract import Done, Engine, Piece, Place, Work, Worker, open_worker
from .local import Local
from .on_ray import OnRay

__all__ = ["Done", "Engine", "Local", "OnRay", "Piece", "Place", "Work", "Worker", "open_worker"]
