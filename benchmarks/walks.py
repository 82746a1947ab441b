"""A tracer of call paths: how many files, and how many calls between files, three pieces of work pass through.

    python benchmarks/walks.py [--tree PATH] [--compare PATH] [--rounds 3] [--list] [--json] [--scheduler relay]

``--tree`` is the source tree to trace (a checkout or its ``src``; by default this checkout's).  ``--compare`` traces a
second one and prints the ratio, second to first.  ``--list`` prints the calls between files, pair by pair.
``--scheduler`` names a folder or a file of the package that counts as the scheduler; it may be given more than once.

The walks:

* **message**: one message from the socket to the Maildir.  The daemon has one worker and is a single process.  The walk
  begins before the client connects and ends when the result has been recorded.  It holds the whole SMTP dialogue.
* **hold**: ``posthouse queue hold domain:NAME`` on one deferred message, asked of a running daemon.  The walk is the
  whole command, from its options to its end, and the daemon's part; the counts of both processes are added.
* **hold-stopped**: the same command while no daemon runs.  The command opens the spool itself and closes it again.
* **bounce**: one message whose only recipient the next hop refuses with 550, until the report of that lies in the
  sender's Maildir and its result has been recorded.  The next hop runs here.  It hangs up when it is idle, so each
  walk opens a connection.

The counts:

* **files**: distinct files of the package in which a function was called or a coroutine was resumed during the walk.
* **hops**: calls whose caller lies in another file of the package.  The caller is the nearest frame of the package
  below the called one on the stack.  The search stops at the event loop: what the loop calls has no caller, and is no
  hop.  Returns and resumptions are no hops.
* **entries**: calls without a caller in the package, from the event loop or a thread's beginning.  They are shown
  because a redesign can turn hops into entries.
* **resumes**: resumptions of coroutines and generators whose resumer lies in another file.  A chain of ``await`` is
  resumed frame by frame, as often as the network or the disk makes it wait, so their number varies.
* **switches**: calls and resumptions in another file than the call or resumption before, whoever called.  This count
  follows the order in time, so it holds entries, and calls after a return; threads that run side by side vary it.

A profile hook (``sys.setprofile``, ``threading.setprofile``) is installed in a process of its own before the product
is imported, and counts only between two marks.  An identical piece of work goes first, so that lazy imports and
start-up do not count.  A daemon's walk ends when what was waited for is there and no function of the package has been
called for 0.4 seconds.  Each walk is made ``--rounds`` times, and the round with the median of hops is shown.  The
traced process cannot import uvloop: asyncio's own loop shows who calls, and what is written to which socket.

The walk of a message also has the calls between COMMIT and 250: all calls, in any thread, from the return of the SQLite
call that ended the message's transaction until the reply to the end of DATA is handed to the socket.  A transaction has
ended when a call left the connection outside of one and with more changed rows than at the end before.

The package is seen from outside only: its command line, its configuration, SMTP, and the names of its files.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dis
import importlib.util
import inspect
import json
import os
import runpy
import signal
import smtplib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

PACKAGE = "posthouse"
QUIET = 0.4  # seconds without a call that end a walk
IDLE = 0.2  # seconds after which the next hop hangs up when it has refused a recipient; less than QUIET
PATIENCE = 30.0  # seconds that anything may take
MESSAGE = b"From: ann@local.test\r\nTo: bob@local.test\r\nSubject: a walk\r\n\r\n" + b"One of many lines.\r\n" * 100
CONFIG = """
hostname = "walks.test"
data_dir = "{home}/data"
workers = 1
[[listener]]
bind = "127.0.0.1:{port}"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "local.test"
deliver = "maildir:{home}/mail/{{local}}"
mailboxes = "any"
"""
ROUTE = '[[route]]\nto = "{domain}"\nvia = "smtp://127.0.0.1:{port}"\n'
#: What an event is: [CALL or RESUME, file, function, caller's file or None] or [a kind below, text].
CALL, RESUME, COMMIT, SYNC, SEND = "call", "resume", "commit", "sync", "send"
#: The function by which the event loop calls everything; what lies below it on the stack is not the caller.
LOOP = asyncio.Handle._run.__code__

Event = list[Any]


# Inside the traced process -------------------------------------------------------------------------------------------


class Hook:
    """A profile hook that records the package's calls, and what else is needed to order them."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._codes: dict[CodeType, tuple[str, int] | None] = {}
        self._changes: dict[int, int] = {}  # rows changed by a connection when its last transaction ended
        self._on = False
        self._last = time.monotonic()
        self._events: list[Event] = []

    def install(self) -> None:
        """Profile this thread and all that begin later, and record what is sent on sockets."""
        original = socket.socket.send

        def send(sock: socket.socket, data: Any, *flags: int) -> int:
            self._note([SEND, bytes(data[:60]).decode("latin-1")])
            return original(sock, data, *flags)

        socket.socket.send = send  # type: ignore[method-assign, assignment]
        threading.setprofile(self)
        sys.setprofile(self)

    def start(self) -> None:
        """Start recording."""
        self._events, self._last, self._on = [], time.monotonic(), True

    def stop(self) -> list[Event]:
        """Stop recording; returns the events."""
        self._on = False
        return self._events

    def quiet(self) -> float:
        """Seconds since the last event."""
        return time.monotonic() - self._last

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take one event of the interpreter."""
        if event == "call":
            if self._on and (place := self._place(frame.f_code)) is not None:
                self._call(frame, *place)
        elif event == "c_return":
            self._returned(argument)

    def _note(self, event: Event) -> None:
        if self._on:
            self._last = time.monotonic()
            self._events.append(event)

    def _place(self, code: CodeType) -> tuple[str, int] | None:
        """The file of a function in the package, and the offset up to which it has only been started."""
        try:
            return self._codes[code]
        except KeyError:
            pass
        place = None
        if code.co_filename.startswith(self._root):
            begin = 1 << 30
            if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
                begin = next(each.offset for each in dis.get_instructions(code) if each.opname == "RESUME")
            place = code.co_filename[len(self._root) :], begin
        self._codes[code] = place
        return place

    def _call(self, frame: FrameType, file: str, begin: int) -> None:
        caller = None
        below = frame.f_back
        while below is not None and below.f_code is not LOOP:
            if (place := self._place(below.f_code)) is not None:
                caller = place[0]
                break
            below = below.f_back
        self._note([CALL if frame.f_lasti <= begin else RESUME, file, frame.f_code.co_qualname, caller])

    def _returned(self, function: Any) -> None:
        name = getattr(function, "__name__", "")
        if name in ("fsync", "fdatasync"):
            self._note([SYNC, name])
        elif name in ("execute", "executemany", "commit"):
            owner = function.__self__
            connection = owner.connection if isinstance(owner, sqlite3.Cursor) else owner
            if isinstance(connection, sqlite3.Connection) and not connection.in_transaction:
                changes = connection.total_changes
                if self._changes.get(id(connection), changes) < changes:
                    self._note([COMMIT, name])
                self._changes[id(connection)] = changes


def inside(text: str) -> None:
    """The main function of the traced process: runs the product's commands, and answers the parent on a socket."""
    spec = json.loads(text)
    sys.modules["uvloop"] = None  # type: ignore[assignment]
    sys.path.insert(0, spec["tree"])
    found = importlib.util.find_spec(PACKAGE)
    root = os.path.join(spec["tree"], PACKAGE, "")
    if found is None or not str(found.origin).startswith(root):
        sys.exit(f"{PACKAGE} is not imported from {root}")
    parent = socket.socket(fileno=spec["socket"])
    hook = Hook(root)

    def answer(value: Any) -> None:
        parent.sendall(json.dumps(value).encode() + b"\n")

    def obey() -> None:
        acts: dict[str, Callable[[], Any]] = {"start": hook.start, "stop": hook.stop, "quiet": hook.quiet}
        with parent.makefile("r") as questions:
            for line in questions:
                answer(acts[line.strip()]())
        os.kill(os.getpid(), signal.SIGTERM)  # the parent has gone

    if spec["each"]:
        questions = parent.makefile("r")
    else:
        threading.Thread(target=obey, daemon=True).start()
    hook.install()
    for arguments in spec["commands"]:
        if spec["each"]:
            if not questions.readline():
                return
            hook.start()
        sys.argv = [PACKAGE, *arguments]
        code: Any = 0
        try:
            runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
        if code:
            sys.exit(code)
        if spec["each"]:
            answer(hook.stop())


# Outside of it -------------------------------------------------------------------------------------------------------


class Traced:
    """A process of the product under the hook.  ``each``: every command is one walk; else the parent sets the marks."""

    def __init__(self, tree: Path, home: Path, commands: list[list[str]], *, each: bool = False) -> None:
        self._log = home / "traced.log"
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        self._socket, self._answers = ours, ours.makefile("r")
        spec = {"tree": str(tree), "commands": commands, "each": each, "socket": theirs.fileno()}
        arguments = [sys.executable, "-P", str(Path(__file__).resolve()), "--inside", json.dumps(spec)]
        with theirs, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs.fileno()]
            )

    def __enter__(self) -> Traced:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._socket.close()

    def answer(self) -> Any:
        """The next answer of the process; exits with its log if there is none."""
        try:
            line = self._answers.readline()
        except TimeoutError:
            line = ""
        if not line:
            sys.exit(f"the traced process ended, or is silent:\n{self._log.read_text()[-3000:]}")
        return json.loads(line)

    def ask(self, question: str) -> Any:
        """Ask the process; returns its answer."""
        self._socket.sendall(question.encode() + b"\n")
        return self.answer()

    def walk(self, act: Callable[[], object], done: Callable[[], bool]) -> list[Event]:
        """The events from ``act`` until it is ``done`` and nothing is called any more."""
        until("the daemon is quiet", lambda: self.ask("quiet") >= QUIET)
        self.ask("start")
        act()
        until("the walk is done", done)
        until("the daemon is quiet", lambda: self.ask("quiet") >= QUIET)
        events: list[Event] = self.ask("stop")
        return events


def until(what: str, true: Callable[[], bool]) -> None:
    """Wait until ``done``, at most ``PATIENCE`` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            sys.exit(f"waited {PATIENCE:.0f} seconds in vain until {what}")
        time.sleep(0.02)


def free_port() -> int:
    """A free port of the loopback address."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def send(port: int, recipient: str) -> None:
    """Send one message."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.test", timeout=PATIENCE) as client:
        client.sendmail("ann@local.test", [recipient], MESSAGE)


@contextlib.contextmanager
def refusing_host(refusal: bytes) -> Iterator[int]:
    """A next hop that answers every RCPT with ``refusal``; its port."""
    replies = {b"EHLO": b"250-next.test\r\n250 PIPELINING", b"HELO": b"250 next.test", b"MAIL": b"250 2.1.0 ok"}
    replies |= {b"RCPT": refusal, b"RSET": b"250 2.0.0 ok", b"QUIT": b"221 2.0.0 bye"}

    def talk(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock, sock.makefile("rb") as lines:
            sock.settimeout(PATIENCE)
            sock.sendall(b"220 next.test\r\n")
            for line in lines:
                reply = replies.get(line[:4].upper(), b"503 5.5.1 no valid recipients")
                sock.sendall(reply + b"\r\n")
                if reply.startswith(b"221"):
                    break
                if reply == refusal:
                    sock.settimeout(IDLE)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


class House:
    """A configuration in a directory of its own, and the daemon that runs with it."""

    def __init__(self, tree: Path, home: Path, routes: dict[str, int]) -> None:
        self.tree, self.home, self.port = tree, home, free_port()
        text = CONFIG.format(home=home, port=self.port)
        text += "".join(ROUTE.format(domain=domain, port=port) for domain, port in routes.items())
        (home / "posthouse.toml").write_text(text)
        self.config = ["--config", str(home / "posthouse.toml")]

    @contextlib.contextmanager
    def daemon(self) -> Iterator[Traced]:
        """The daemon, when it greets."""
        with Traced(self.tree, self.home, [["run", *self.config]]) as traced:
            until("the daemon listens", lambda: self._listens(traced))
            yield traced

    def _listens(self, traced: Traced) -> bool:
        traced.ask("quiet")
        with contextlib.suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", self.port, timeout=5):
            return True
        return False

    def letters(self, user: str) -> int:
        """The number of messages in a Maildir."""
        return len(list(self.home.glob(f"mail/{user}/new/*")))

    def deferred(self) -> int:
        """The number of deferred messages."""
        command = [sys.executable, "-P", "-m", PACKAGE, "queue", "list", "state:deferred", *self.config, "--json"]
        env = os.environ | {"PYTHONPATH": str(self.tree)}
        answer = subprocess.run(command, env=env, capture_output=True, timeout=PATIENCE, check=True)
        return len(json.loads(answer.stdout))


def walk_message(tree: Path, home: Path, rounds: int) -> list[list[Event]]:
    """The events of a message's way into a Maildir, of each round."""
    house = House(tree, home, {})
    with house.daemon() as traced:
        return _delivered(house, traced, "bob@local.test", "bob", rounds)


def walk_bounce(tree: Path, home: Path, rounds: int) -> list[list[Event]]:
    """The events of a refused message and of its report, of each round."""
    with refusing_host(b"550 5.1.1 no such user") as port:
        house = House(tree, home, {"next.test": port})
        with house.daemon() as traced:
            return _delivered(house, traced, "nobody@next.test", "ann", rounds)


def _delivered(house: House, traced: Traced, recipient: str, user: str, rounds: int) -> list[list[Event]]:
    """The events of messages to ``recipient`` that end with a message for ``user``, without those of the warm-up."""

    def walk(number: int) -> list[Event]:
        return traced.walk(lambda: send(house.port, recipient), lambda: house.letters(user) >= number)

    return [walk(number) for number in range(1, rounds + 2)][1:]


def walk_hold(tree: Path, home: Path, rounds: int) -> list[list[Event]]:
    """The events of a command that has the daemon hold a message, in both processes, of each round."""
    walks: list[list[Event]] = []
    with _deferred(tree, home, rounds) as (daemon, commands), Traced(tree, home, commands, each=True) as command:
        for _ in commands:
            asked: list[Event] = []
            answered = daemon.walk(lambda asked=asked: asked.extend(command.ask("next")), lambda: True)  # type: ignore[misc]
            walks.append(asked + answered)
    return walks[1:]


def walk_hold_stopped(tree: Path, home: Path, rounds: int) -> list[list[Event]]:
    """The events of a command that holds a message itself, of each round."""
    with _deferred(tree, home, rounds) as (_, commands):
        pass
    with Traced(tree, home, commands, each=True) as command:
        return [command.ask("next") for _ in commands][1:]


@contextlib.contextmanager
def _deferred(tree: Path, home: Path, rounds: int) -> Iterator[tuple[Traced, list[list[str]]]]:
    """A daemon with a deferred message for the warm-up and each round, and the commands that hold one each."""
    domains = [f"d{number}.slow.test" for number in range(rounds + 1)]
    with refusing_host(b"450 4.2.1 try again later") as port:
        house = House(tree, home, {"*.slow.test": port})
        with house.daemon() as daemon:
            for domain in domains:
                send(house.port, f"bob@{domain}")
            until("all are deferred", lambda: house.deferred() == len(domains))
            yield daemon, [["queue", "hold", f"domain:{domain}", "--yes", *house.config] for domain in domains]


WALKS: dict[str, Callable[[Path, Path, int], list[list[Event]]]] = {
    "message": walk_message,
    "hold": walk_hold,
    "hold-stopped": walk_hold_stopped,
    "bounce": walk_bounce,
}
COUNTS = ("files", "hops", "entries", "resumes", "switches")


# What was measured ---------------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """The counts of one walk."""

    files: int
    hops: int
    entries: int
    resumes: int
    switches: int
    names: list[str]
    pairs: list[tuple[str, str, int]]


def counted(events: list[Event]) -> Counts:
    """The counts of the events of one walk."""
    ran = [each for each in events if each[0] in (CALL, RESUME) and each[2] != "<module>"]
    calls = [each for each in ran if each[0] == CALL]
    resumes = [each for each in ran if each[0] == RESUME]
    names = sorted({each[1] for each in ran})
    pairs = Counter((caller, file) for _, file, _, caller in calls if caller is not None and caller != file)
    foreign = sum(each[3] is not None and each[3] != each[1] for each in resumes)
    entries = sum(each[3] is None for each in calls)
    listed = [(caller, file, count) for (caller, file), count in pairs.most_common()]
    switches = sum(one[1] != other[1] for one, other in pairwise(ran))
    return Counts(len(names), pairs.total(), entries, foreign, switches, names, listed)


def commit_to_reply(events: list[Event]) -> list[tuple[str, str]]:
    """The calls between COMMIT and 250 in order: a file and a function, or "" and a sync's name."""
    sends = [index for index, each in enumerate(events) if each[0] == SEND]
    asked = next(index for index in sends if events[index][1].startswith("354"))
    end = next(index for index in sends if index > asked and events[index][1].startswith("250"))
    begin = next((index for index in range(asked, end) if events[index][0] == COMMIT), None)
    if begin is None:
        sys.exit("no transaction ended between 354 and 250")
    between = [each for each in events[begin:end] if each[0] in (CALL, RESUME, SYNC)]
    return [("", each[1]) if each[0] == SYNC else (each[1], each[2]) for each in between]


def _lies_in(file: str, places: list[str]) -> bool:
    return any(file == place or file.startswith(f"{place}/") for place in places)


def measure(tree: Path, rounds: int, scheduler: list[str]) -> dict[str, Any]:
    """All figures of one source tree."""
    result: dict[str, Any] = {"tree": str(tree), "walks": {}}
    for name, walk in WALKS.items():
        with tempfile.TemporaryDirectory(prefix="walks-") as home:
            walks = walk(tree, Path(home), rounds)
        counts = sorted((counted(each) for each in walks), key=lambda each: each.hops)
        shown = counts[(len(counts) - 1) // 2]
        result["walks"][name] = shown._asdict() | {"hops_of_rounds": [each.hops for each in counts]}
        if name == "message":
            between = [commit_to_reply(each) for each in walks]
            flagged = sorted({each for calls in between for each in calls if _lies_in(each[0], scheduler)})
            result["commit_to_reply"] = {"calls": between[0], "scheduler": flagged}
    return result


def show(results: list[dict[str, Any]], *, pairs: bool) -> None:
    """Print the results of one tree, or of two side by side."""
    labels = "AB"[: len(results)]
    for label, result in zip(labels, results, strict=True):
        print(f"{label}: {result['tree']}")
    for what in COUNTS:
        heads = [*labels, "B / A"] if len(results) == 2 else [*labels]
        print(f"\n{what:16}" + "".join(f"{head:>8}" for head in heads))
        for name in WALKS:
            figures = [result["walks"][name][what] for result in results]
            line = f"  {name:14}" + "".join(f"{figure:8}" for figure in figures)
            if len(figures) == 2:
                line += f"{figures[1] / figures[0]:8.2f}" if figures[0] else f"{'-':>8}"
            print(line)
    for label, result in zip(labels, results, strict=True):
        print(f"\n{label}: hops of each round")
        for name in WALKS:
            print(f"  {name:14}" + "".join(f"{hops:8}" for hops in result["walks"][name]["hops_of_rounds"]))
        _show_between(label, result["commit_to_reply"])
        for name in WALKS if pairs else ():
            print(f"\n{label}: hops of {name}")
            for caller, file, count in result["walks"][name]["pairs"]:
                print(f"  {count:5}  {caller} -> {file}")


def _show_between(label: str, between: dict[str, Any]) -> None:
    """Print the calls between COMMIT and 250 in order."""
    print(f"\n{label}: between COMMIT and 250, {len(between['calls'])} calls")
    guilty = {each[0] for each in between["scheduler"]}
    for file, group in groupby(between["calls"], key=lambda each: each[0]):
        names = ", ".join(each[1].replace("<locals>.", "") for each in group)
        print(f"  {'scheduler' if file in guilty else '':9}  {file or 'the disk':24}  {names}")
    print(f"  files of the scheduler, in any round: {', '.join(sorted(guilty)) or 'none'}")


def source_of(text: str) -> Path:
    """The directory that holds the package, of a checkout or its ``src``."""
    path = Path(text).resolve()
    for each in (path, path / "src"):
        if (each / PACKAGE / "__init__.py").is_file():
            if any((each / PACKAGE).rglob("*.so")):
                raise argparse.ArgumentTypeError(f"{each} holds compiled modules, which cannot be traced")
            return each
    raise argparse.ArgumentTypeError(f"there is no package {PACKAGE} in {path} or {path / 'src'}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="how many files and calls between files three pieces of work take")
    here = str(Path(__file__).resolve().parents[1])
    parser.add_argument("--tree", type=source_of, default=here, metavar="PATH", help="the source tree to trace")
    parser.add_argument("--compare", type=source_of, metavar="PATH", help="a second one, beside the first")
    parser.add_argument("--rounds", type=int, default=3, help="how often each walk is made (3)")
    parser.add_argument("--scheduler", action="append", metavar="NAME", help="a place of the scheduler (relay)")
    parser.add_argument("--list", action="store_true", help="print the hops by pair of files")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    trees = [given.tree] if given.compare is None else [given.tree, given.compare]
    scheduler = [name.strip("/") for name in given.scheduler or ["relay"]]
    for tree in trees:
        if not any((tree / PACKAGE / name).exists() for name in scheduler):
            parser.error(f"{tree} has no {' and no '.join(scheduler)}; say with --scheduler where its scheduler is")
    results = [measure(tree, max(1, given.rounds), scheduler) for tree in trees]
    if given.json:
        print(json.dumps(results, indent=2))
    else:
        show(results, pairs=given.list)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2])
    else:
        main()
