"""What would keep the daemon of a configuration file from starting, asked of a process of its own
(``daemon.start_check``)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Final, NamedTuple

from posthouse.core import PosthouseError

__all__ = ["StartProblems", "start_problems"]

#: Seconds that the process may take; a module of the operator's own may do anything when it is imported.
_SECONDS: Final = 30.0
#: Seconds in which the process ends by itself after its last line.
_GRACE: Final = 5.0
_PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from posthouse.service.daemon.start_check import main; main(sys.argv[1])"
)


class StartProblems(NamedTuple):
    """Sentences about what certainly keeps the daemon from starting, and about what may."""

    certain: list[str]
    possible: list[str]


async def start_problems(path: str) -> StartProblems:
    """The problems of the configuration file ``path``."""
    found = StartProblems([], [])
    setting = module = ""  # what was imported last
    # -P: nothing is imported from the current directory that the command itself would not import from there.
    command = [sys.executable, "-P", "-c", _PROGRAM, path, json.dumps(sys.path)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    grace = 0.0
    try:
        async with asyncio.timeout(_SECONDS):
            while line := await process.stdout.readline():
                answer = json.loads(line)
                if answer is None:
                    grace = _GRACE
                    return found
                if isinstance(answer, dict):
                    setting, module = answer["imports"]
                    continue
                sentence, certain = answer
                (found.certain if certain else found.possible).append(sentence)
            said = await process.stderr.read()
            code = await process.wait()
    except TimeoutError:
        found.possible.append(f"{setting}: {module} has not been imported after {_SECONDS:g} s; see what it waits for.")
        return found
    finally:
        await _end(process, grace)
    if not module or said:  # a traceback of this program's own
        raise PosthouseError(f"the check of what keeps the daemon from starting has failed (exit code {code})")
    found.certain.append(f"{setting}: importing {module} ends the process; as it is, the daemon would not start.")
    return found


async def _end(process: asyncio.subprocess.Process, grace: float) -> None:
    """Wait for the end of the process for ``grace`` seconds, then kill it.

    A process that ends by itself is not signalled: ``kill`` asks the system first whether the child has ended, which
    takes the exit status away from asyncio, and asyncio then warns of an unknown child on standard error.
    """
    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
