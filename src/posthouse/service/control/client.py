"""The client of the control socket: asks a running daemon to run an operation."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from posthouse.core import PosthouseError, StorageBusy, StorageError
from posthouse.service.control.wire import (
    CONTROL_SOCKET,
    LONGEST_OPERATION,
    MOST_ANSWERED,
    PATIENCE,
    ControlAnswer,
    error_class,
)
from posthouse.service.operations.base import Operation

__all__ = ["NoDaemon", "ask"]

_CONNECT: Final = 5.0  # seconds
_NOT_LISTENING: Final = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.EACCES, errno.EPERM, errno.ENOTDIR)


class NoDaemon(PosthouseError):
    """No daemon can be asked: none runs on the data directory, or its socket may not be opened."""


async def ask(data_dir: str, operation: Operation, given: Mapping[str, Any]) -> Any:
    """The answer of the daemon that runs on ``data_dir``.

    Raises:
        NoDaemon: no daemon listens; the caller may open the spool itself.
        SettingError, StorageError: as the operation raised it in the daemon.
        PosthouseError: any other error of the daemon.
    """
    path = os.path.join(data_dir, CONTROL_SOCKET)
    try:
        async with asyncio.timeout(_CONNECT):
            reader, writer = await asyncio.open_unix_connection(path, limit=MOST_ANSWERED + 1)
    except TimeoutError as error:
        raise StorageBusy(f"the daemon at {path} does not answer; see whether it hangs") from error
    except OSError as error:
        if error.errno in _NOT_LISTENING or "too long" in str(error):
            raise NoDaemon(f"no daemon listens at {path}") from error
        raise
    try:
        writer.write(msgspec.json.encode({"op": operation.name, "args": given}) + b"\n")
        async with asyncio.timeout(LONGEST_OPERATION + PATIENCE):
            await writer.drain()
            line = await reader.readline()
    except TimeoutError as error:
        raise StorageBusy(f"the daemon at {path} did not answer in time") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"the connection to the daemon at {path} broke: {error}") from error
    finally:
        writer.close()
    if not line.endswith(b"\n"):
        raise StorageBusy(
            f"the daemon at {path} ended before it answered; see `posthouse queue audit` for what was done"
        )
    answer = msgspec.json.decode(line, type=ControlAnswer)
    if answer.error:
        raise error_class(answer.kind)(answer.error)
    return msgspec.json.decode(answer.ok, type=operation.answer)
