"""What the fixture ``smtp_sandbox`` does: start a sandbox for a test, show the dialogues if the test fails, and fail a
test in which the result of a failed sending was dropped before anything looked at it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator, Iterator
from typing import Final

import pytest

from posthouse.core import LocalError
from posthouse.sandbox.caught_message import end_of_transcript
from posthouse.sandbox.sandbox import Sandbox
from posthouse.sending.results import UnseenFailureWarning

__all__ = ["sandbox_of"]

_KEY: Final = pytest.StashKey[Sandbox]()
_FAILED: Final = pytest.StashKey[bool]()
_REPORTER: Final = "posthouse-transcripts"


@contextlib.contextmanager
def sandbox_of(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """The sandbox of a test, with the options of its marker, or of a parameter of the fixture."""
    plugins = request.config.pluginmanager
    if not plugins.has_plugin(_REPORTER):  # from the first test on that uses the fixture
        plugins.register(_Transcripts(), _REPORTER)
    options: dict[str, object] = {}
    for marker in reversed(list(request.node.iter_markers("smtp_sandbox"))):  # that of the function is the last word
        if marker.args:
            raise LocalError('the marker smtp_sandbox takes options with names, as in smtp_sandbox(tls="starttls")')
        options |= marker.kwargs
    options |= getattr(request, "param", {})
    try:
        sandbox = Sandbox(**options)  # type: ignore[arg-type]
    except TypeError as error:
        raise LocalError(f"the sandbox of {request.node.name} has an option that is not known: {error}") from None
    with sandbox, sandbox.settings.in_place(), _unseen_failures() as dropped:
        request.node.stash[_KEY] = sandbox
        yield sandbox
    if dropped and not request.node.stash.get(_FAILED, False):
        remedy = (
            'mark the test with pytest.mark.filterwarnings("ignore::posthouse.UnseenFailureWarning") if it means to'
        )
        pytest.fail("\n".join([*dropped, remedy]), pytrace=False)


@contextlib.contextmanager
def _unseen_failures() -> Iterator[list[str]]:
    """Gather the texts of ``UnseenFailureWarning``; other warnings go their way.  One that a filter of the test
    ignores, or that ``pytest.warns`` has caught, does not arrive here."""
    dropped: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        yield dropped
    for each in caught:
        if issubclass(each.category, UnseenFailureWarning):
            dropped.append(str(each.message))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno, source=each.source)


class _Transcripts:
    """Plugin that adds the dialogues of a sandbox to the report of a test that failed, and notes that it has."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        sandbox = item.stash.get(_KEY, None)
        if report.failed and sandbox is not None:
            item.stash[_FAILED] = True
            report.sections.append(("smtp_sandbox", end_of_transcript(sandbox.transcript)))
        return report
