"""What all tests share: system programs, hypothesis profiles, and a run in which nothing may be skipped.

``@pytest.mark.system("swaks", "swaks")`` names a Debian package and the program wanted from it, or the path of a file
(``*`` stands for any name); where it is missing the test is skipped, visibly, with the command that installs it.
``POSTHOUSE_NO_SKIPS=1`` (``.ci/run``) turns every skip into a failed run.  It counts reports, not words in the output,
so it holds under pytest-xdist too, where the reports of all workers pass through the controlling process.

A test may leave a line for the end of the run with ``record_property("note", "...")``.
"""

from __future__ import annotations

import glob
import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests import leftovers

settings.register_profile("dev", max_examples=40, deadline=None)
settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,
    derandomize=True,  # a red run must be red again tomorrow
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # the machine is shared; slowness is not a finding
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

_SKIPPED = pytest.StashKey[dict[str, str]]()
_NOTES = pytest.StashKey[list[str]]()
#: Names of the fixtures of the whole run that hold something open.
_KEPT = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SKIPPED] = {}
    config.stash[_NOTES] = []
    config.stash[_KEPT] = set()
    _heed_signals()
    leftovers.settle()
    config.pluginmanager.register(_Reports(config), "posthouse-reports")
    config.pluginmanager.register(_Fixtures(), "posthouse-fixtures")
    # Debian keeps sendmail, smtp-sink and their kin where only root looks; .ci/run unpacks some into build/programs.
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    more = ("/usr/sbin", "/sbin", str(config.rootpath / "build" / "programs"))
    os.environ["PATH"] = os.pathsep.join([*path, *(place for place in more if place not in path)])


def _heed_signals() -> None:
    """Undo what a shell does to a command that it starts in the background: programs keep ignoring these signals."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("system"):
        package, program = marker.args
        if not (glob.glob(program) if program.startswith("/") else shutil.which(program)):
            pytest.skip(f"needs {program}: apt-get install {package}")


@pytest.fixture(autouse=True)
def _no_stray_exception() -> Iterator[None]:
    """No test leaves an exception that counts as being handled: code that is compiled can (tests/test_compiled.py), and
    from then on every exception of the process would have it, and all that it holds, as its context."""
    yield
    assert sys.exc_info() == (None, None, None)


@pytest.fixture(scope="module", autouse=True)
def _no_leftovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """No module leaves the process changed: what a later test finds may not depend on which modules came before it."""
    before = leftovers.State.now()
    yield
    used = {name for item in request.session.items if item.path == request.path for name in item.fixturenames}
    may_leave = request.node.get_closest_marker("leaves_open") or used & request.config.stash[_KEPT]
    found = leftovers.changes(before, look_at_held=not may_leave)
    leftovers.put_back(before)
    assert not found, "\n".join(["the tests of this module leave behind (tests/leftovers.py):", *found])


class _Fixtures:
    """Notes the fixtures of the whole run that open something.  A plug-in, because pytest asks the ``conftest`` of a
    folder about fixtures of that folder only."""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        if fixturedef.scope != "session":
            return (yield)
        before = leftovers.held()
        result = yield
        if any(leftovers.held().beyond(before)):
            request.config.stash[_KEPT].add(fixturedef.argname)
        return result


class _Reports:
    """Counts skips and gathers notes, wherever the tests run."""

    def __init__(self, config: pytest.Config) -> None:
        self.skipped = config.stash[_SKIPPED]
        self.notes = config.stash[_NOTES]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # An expected failure is reported as skipped too, but it did run.
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped[report.nodeid] = _reason(report)
        if report.when == "call":
            self.notes += [str(text) for name, text in report.user_properties if name == "note"]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped[report.nodeid] = _reason(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.notes:
            terminalreporter.section("notes")
            for note in sorted(self.notes):
                terminalreporter.write_line(note)
        if self.skipped and _no_skips():
            terminalreporter.section("skipped, and nothing may be (POSTHOUSE_NO_SKIPS)", red=True)
            for test, reason in sorted(self.skipped.items()):
                terminalreporter.write_line(f"{test}: {reason}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and _no_skips() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _no_skips() -> bool:
    # Only the process that reports to people decides; a worker would fail its part without a word.
    return os.environ.get("POSTHOUSE_NO_SKIPS", "") not in ("", "0") and "PYTEST_XDIST_WORKER" not in os.environ


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ")
