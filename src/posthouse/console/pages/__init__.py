"""The pages of the console: each module, named for its page (``configuration_page``), declares its routes and is found.

``console.declarations`` says which names a module may define.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from types import ModuleType

__all__ = ["page_modules"]


@cache
def page_modules() -> tuple[ModuleType, ...]:
    """Every page module, in the order of the names."""
    return tuple(import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__))
