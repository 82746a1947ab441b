"""Check that a test module leaves the process as it found it, so that no later test depends on the order of modules.

A ``State`` is taken before the first test of a module and after the last; ``changes`` names each difference.  Looked at
is what a test can change for all others and what is cheap to read: the environment, the working directory, the umask,
signal handlers, imported modules that were replaced, global names of the product and switches of the interpreter that
were rebound, loggers, Django's settings, and open descriptors, threads and child processes.  Filters of warnings are
put back by pytest itself after each test.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import importlib
import locale
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

__all__ = ["Held", "State", "changes", "held", "put_back", "settle"]

#: Seconds that a thread, which has been told to end, may take.
PATIENCE = 30.0

#: Names of threads that trio keeps for its next call in a thread; they end after 10 s without one.
_IDLE = "Trio thread"
_ABSENT: Any = object()


class Held(NamedTuple):
    """What the process holds open: descriptors and what they lead to, threads, and child processes by their id."""

    descriptors: frozenset[str]
    threads: frozenset[threading.Thread]
    children: frozenset[int]

    def beyond(self, other: Held) -> Held:
        """What is held now and was not then."""
        return Held(*(now - then for now, then in zip(self, other, strict=True)))


class State(NamedTuple):
    """The process at one moment.  Values are compared by equality, objects by identity; each has a kind and a name."""

    values: Mapping[tuple[str, str], object]
    objects: Mapping[tuple[str, str], object]
    held: Held

    @classmethod
    def now(cls) -> State:
        """The state at this moment."""
        return cls(dict(_values()), dict(_objects()), held())


def settle() -> None:
    """Have opened already what libraries open once for the whole process: a pipe of libuv."""
    with contextlib.suppress(ImportError):
        importlib.import_module("uvloop").new_event_loop().close()


def held() -> Held:
    """What the process holds open at this moment."""
    threads = (each for each in threading.enumerate() if not each.name.startswith(_IDLE))
    return Held(frozenset(_descriptors()), frozenset(threads), frozenset(_children()))


def changes(before: State, *, look_at_held: bool = True) -> list[str]:
    """What is different now, a line for each.

    ``look_at_held`` is False where a fixture of the whole run was used, which may open more at any time.
    """
    after = State.now()
    found = [*_differences(before.values, after.values, lambda old, new: old == new)]
    found += _differences(before.objects, after.objects, lambda old, new: old is new)
    if look_at_held and any(after.held.beyond(before.held)):
        gc.collect()  # what nothing refers to is closed now
        end = time.monotonic() + PATIENCE
        for thread in after.held.threads - before.held.threads:
            thread.join(max(end - time.monotonic(), 0.0))
        left = held().beyond(before.held)
        found += [f"open descriptor: {each}" for each in sorted(left.descriptors)]
        found += [f"thread that runs: {each.name}" for each in left.threads]
        found += [f"child process: {_command(each)}" for each in sorted(left.children)]
    return found


def put_back(before: State) -> None:
    """Undo what can be undone, so that only the module that changed something fails."""
    environ = {name: value for (kind, name), value in before.values.items() if kind == "os.environ"}
    for name in set(os.environ) - set(environ) - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(environ)  # type: ignore[arg-type]
    with contextlib.suppress(OSError):
        os.chdir(str(before.values["process", "working directory"]))
    os.umask(int(str(before.values["process", "umask"])))
    for (kind, name), value in before.objects.items():
        if kind == "sys.modules" and sys.modules.get(name) is not value:
            sys.modules[name] = value  # type: ignore[assignment]


def _differences(
    before: Mapping[tuple[str, str], object],
    after: Mapping[tuple[str, str], object],
    same: Callable[[object, object], bool],
) -> Iterator[str]:
    for key in before.keys() | after.keys():
        kind, name = key
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if new is _ABSENT:
            yield f"{kind}: {name} is missing"
        elif old is _ABSENT:
            if kind not in _MAY_GROW:
                yield f"{kind}: {name} is new: {new!r:.200}"
        elif not same(old, new):
            yield f"{kind}: {name} was {old!r:.200} and is {new!r:.200}"


#: Kinds of which there may be more: a module that is imported for the first time changes nothing for others.
_MAY_GROW = frozenset({"sys.modules", "global name"})


def _values() -> Iterator[tuple[tuple[str, str], object]]:
    for name, value in os.environ.items():
        if name != "PYTEST_CURRENT_TEST":  # pytest sets it for each phase of a test
            yield ("os.environ", name), value
    yield ("process", "working directory"), os.getcwd()
    umask = os.umask(0o077)
    os.umask(umask)
    yield ("process", "umask"), umask
    yield ("process", "blocked signals"), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield ("process", "time zone"), time.tzname
    yield ("process", "locale"), locale.setlocale(locale.LC_ALL)
    yield ("interpreter", "sys.path"), tuple(sys.path)
    yield ("interpreter", "sys.meta_path"), tuple(sys.meta_path)
    yield ("interpreter", "garbage collection"), (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())
    yield ("interpreter", "limit of recursion"), sys.getrecursionlimit()
    yield ("interpreter", "switch interval"), sys.getswitchinterval()
    yield ("interpreter", "faulthandler"), faulthandler.is_enabled()
    yield ("interpreter", "default timeout of sockets"), socket.getdefaulttimeout()
    for name, module in list(sys.modules.items()):
        # Packages in other languages have inner modules without a specification, too.
        if module is not None and getattr(module, "__spec__", None) is None and re.fullmatch("[a-z][^.]*", name):
            yield ("stand-in for a module", name), id(module)
    yield ("logger", "all, switched off up to level"), logging.root.manager.disable
    for name, logger in [("root", logging.root), *logging.root.manager.loggerDict.items()]:
        if isinstance(logger, logging.Logger):
            handlers = [each for each in logger.handlers if type(each) is not logging.NullHandler]
            handlers = [each for each in handlers if type(each).__module__ != "_pytest.logging"]
            state = (logger.level, logger.disabled, handlers)
            if state != (logging.NOTSET, False, []):
                yield ("logger", name), state
    policy = getattr(asyncio.events, "_event_loop_policy", None)  # to ask for it would make one
    if policy is not None and "DefaultEventLoopPolicy" not in type(policy).__name__:
        yield ("asyncio", "policy"), type(policy)
    django = sys.modules.get("django.conf")
    yield ("Django", "settings are configured"), django is not None and django.settings.configured


def _objects() -> Iterator[tuple[tuple[str, str], object]]:
    for number in signal.valid_signals() - {signal.SIGALRM}:  # pytest-timeout has it
        yield ("signal handler", str(number)), signal.getsignal(number)
    for name in ("excepthook", "displayhook", "__stdout__", "__stderr__"):
        yield ("sys", name), getattr(sys, name)
    yield ("sys", "trace function"), sys.gettrace()
    yield ("threading", "excepthook"), threading.excepthook
    yield ("socket", "getaddrinfo"), socket.getaddrinfo
    yield ("socket", "socket"), socket.socket
    yield ("warnings", "showwarning"), warnings.showwarning
    for name, module in list(sys.modules.items()):
        yield ("sys.modules", name), module
        if isinstance(module, ModuleType) and (name == "posthouse" or name.startswith("posthouse.")):
            for each, value in list(vars(module).items()):
                if not each.startswith("__") and f"{name}.{each}" not in _ONCE:
                    yield ("global name", f"{name}.{each}"), value


#: Names that are rebound once in a process: what they tell cannot be taken back.
_ONCE = frozenset({"posthouse.service.process.forks._registered"})


def _descriptors() -> Iterator[str]:
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):  # that of the listing itself
            yield f"{number} -> {os.readlink(f'/proc/self/fd/{number}')}"


def _children() -> Iterator[int]:
    for thread in os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else ():
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children") as file:
            yield from map(int, file.read().split())


def _command(process: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{process}/cmdline", "rb") as file:
        return f"{process} {file.read().replace(bytes(1), b' ').decode('utf-8', 'replace'):.200}"
    return str(process)
