"""The octets of a message in an inbox, which are asked for in pieces."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

from posthouse.cli.context import DaemonOptions, operate

__all__ = ["source_octets", "source_pieces"]

_PIECE: Final = 4 << 20  # octets


def source_pieces(options: DaemonOptions, number: int) -> Iterator[bytes]:
    """A message as it was delivered, piece by piece."""
    start, total = 0, 1
    while start < total:
        piece = operate("inbox source", options, number=number, start=start, octets=_PIECE)
        yield piece.content
        start, total = start + max(1, len(piece.content)), piece.total


def source_octets(options: DaemonOptions, number: int) -> bytes:
    """A message as it was delivered."""
    octets = io.BytesIO()
    for piece in source_pieces(options, number):
        octets.write(piece)
    return octets.getvalue()
