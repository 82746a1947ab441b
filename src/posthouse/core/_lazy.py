"""Lazy re-exports: names of a package that are imported at their first use instead of with the package (PEP 562).

Importing a package should not import all of its modules: ``posthouse send`` needs one module of ``service`` and no
module of ``relay``, and the command line starts in 30 ms.  A package's ``__init__`` lists such names twice: under
``TYPE_CHECKING`` as imports, for readers, type checkers and the tests of layers and circles; and in a call of
``lazily``, with the module that defines them.  A name is looked up once and then stored in the package; code that runs
often imports it at the top of its module.

A name that is also a module's (``message.compose``) cannot be lazy: importing the module sets the attribute to the
module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazily"]


def lazily(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package with lazy re-exports.

    Args:
        package: The ``__name__`` of the package, which may be nested.
        names: Module, relative to the package, → the names that it defines, separated by spaces.

    The returned function raises ``AttributeError`` for every other name.  ``dir`` of the package lists the names too.
    """
    modules = {name: f"{package}.{module}" for module, listed in names.items() for name in listed.split()}

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, found)
        return found

    module = sys.modules[package]
    module.__dict__["__dir__"] = lambda: sorted({*vars(module), *modules})  # so that shells complete the names
    return find
