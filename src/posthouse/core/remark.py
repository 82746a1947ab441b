"""A remark: what a lenient receiver has tolerated in a message that it accepted."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Remark"]


class Remark(NamedTuple):
    """One kind of deviation in one message, for its sender's developer to know.

    ``kind`` names it (``codes.leniencies`` has the texts); ``reply`` is the reply of a strict receiver, "" where strict
    receivers differ; ``line`` is the number of the content's line that has the first one, 0 if it is in a command or
    far into a large content; ``command`` is the line of that command, or ""; ``times`` says how many there are.
    """

    kind: str
    reply: str = ""
    line: int = 0
    command: str = ""
    times: int = 1
