"""An application named on the command line: found, and served until the process is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from posthouse.app.application import App
from posthouse.core import LocalError, SettingError
from posthouse.delivery.python import find_object
from posthouse.net import Endpoint

__all__ = ["load_app", "serve_app"]


def load_app(target: str) -> App:
    """Import the application that ``module:object`` names.  Raises ``SettingError``."""
    where = f"--app {target}"
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise SettingError("this names no application", where=where, remedy='write it as "module:object"')
    found = find_object(target, where)
    if not isinstance(found, App):
        remedy = "name an object that App() has made"
        raise SettingError(f'"{name}" of "{module}" is {type(found).__name__} and no App', where=where, remedy=remedy)
    return found


async def serve_app(
    app: App,
    binds: Sequence[str],
    stop: asyncio.Event,
    *,
    lmtp: bool = False,
    implicit_tls: bool = False,
    ready: Callable[[Sequence[str]], object] = lambda places: None,
) -> None:
    """Serve an application at all ``binds`` (``host:port``, ``unix:/path``) until ``stop`` is set.

    ``ready`` is called with the places when it listens.

    Raises ``SettingError`` for an application that cannot be served, and what its startup functions raise.
    """
    async with contextlib.AsyncExitStack() as stack:
        places = []
        for bind in binds:
            try:
                endpoint = Endpoint.parse(bind)
                server = app.serve(endpoint.host, endpoint.port, lmtp=lmtp, implicit_tls=implicit_tls)
            except LocalError as error:
                raise SettingError(str(error), where="--app") from error
            await stack.enter_async_context(server)
            places.append(str(server.endpoint))
        ready(places)
        await stop.wait()
