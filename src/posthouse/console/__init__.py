"""The console: pages and JSON over the operations of a running daemon, served by HTTP.

``application`` makes the ASGI application.  A page is declared in a module of ``console.pages``, its texts stand in
``console.texts`` in English and Chinese, and what it shows is the answer of an operation of ``service.operations``.

Names are imported when they are first asked for: the mail side never imports Starlette or Jinja.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.console.app import application
    from posthouse.console.declarations import Done, NavEntry, Notice, Page, PageAction, Shown
    from posthouse.console.operating import ContextRunner, OperationRunner
    from posthouse.console.page_request import PageRequest
    from posthouse.console.problems import NotFound, RequestRefused

__all__ = [
    "ContextRunner",
    "Done",
    "NavEntry",
    "NotFound",
    "Notice",
    "OperationRunner",
    "Page",
    "PageAction",
    "PageRequest",
    "RequestRefused",
    "Shown",
    "application",
]

__getattr__ = lazily(
    __name__,
    {
        "app": "application",
        "operating": "ContextRunner OperationRunner",
        "page_request": "PageRequest",
        "declarations": "PageAction Done NavEntry Notice Page Shown",
        "problems": "NotFound RequestRefused",
    },
)
