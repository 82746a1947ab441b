"""Of the compiler, where there is one (docs/compiled.md): whether it was here, and what classes say to it.

A compiled class cannot be inherited from by an interpreted one, unless it says so.  Classes that users or tests inherit
from carry ``@mypyc_attr(allow_interpreted_subclasses=True)``.  Without a compiler that means nothing, and costs no
dependency: the name is the compiler's only while it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**said: bool):
        """The class as it is."""
        return lambda cls: cls


__all__ = ["compiled", "mypyc_attr"]


def compiled() -> bool:
    """Are the hot modules compiled here?  One of them stands for all: they are built together or not at all."""
    from posthouse.core import reply

    return not str(reply.__file__).endswith(".py")
