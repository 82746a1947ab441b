"""Optional support for mypyc (docs/compiled.md): a decorator for compiled classes, and a check for a compiled build.

An interpreted class cannot inherit from a compiled one, unless the compiled one carries
``@mypyc_attr(allow_interpreted_subclasses=True)``; classes from which users or tests inherit carry it.  mypyc reads the
decorator of ``mypy_extensions`` under ``TYPE_CHECKING``; at run time a decorator without effect stands in its place, so
``mypy_extensions`` need not be installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**attributes: bool):
        """A decorator that returns the class unchanged."""
        return lambda cls: cls


__all__ = ["compiled", "mypyc_attr"]


def compiled() -> bool:
    """True if the hot modules are compiled.  One module is checked, because all are compiled together or none is."""
    from posthouse.core import reply

    return not str(reply.__file__).endswith(".py")
