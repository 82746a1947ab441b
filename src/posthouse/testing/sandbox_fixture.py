"""What the fixture ``smtp_sandbox`` does: start a sandbox for a test, and show the dialogues if the test fails."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Final

import pytest

from posthouse.core import LocalError
from posthouse.sandbox.caught_message import end_of_transcript
from posthouse.sandbox.sandbox import Sandbox

__all__ = ["sandbox_of"]

_KEY: Final = pytest.StashKey[Sandbox]()
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
    with sandbox, sandbox.settings.in_place():
        request.node.stash[_KEY] = sandbox
        yield sandbox


class _Transcripts:
    """Plugin that adds the dialogues of a sandbox to the report of a test that failed."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        sandbox = item.stash.get(_KEY, None)
        if report.failed and sandbox is not None:
            report.sections.append(("smtp_sandbox", end_of_transcript(sandbox.transcript)))
        return report
