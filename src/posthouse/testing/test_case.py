"""Sandbox for classes of unittest.

class SignUpTest(SandboxMixin, unittest.TestCase):
    def test_welcome(self):
        sign_up("ann@example.com")
        self.smtp.wait_for(to="ann@example.com", subject="Welcome")
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import unittest
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from posthouse.sandbox.caught_message import end_of_transcript
from posthouse.sandbox.sandbox import Sandbox

__all__ = ["SandboxMixin"]


class SandboxMixin(unittest.TestCase):
    """Mixin for ``TestCase`` and ``IsolatedAsyncioTestCase``: each test has a sandbox, ``self.smtp``.

    Settings for programs under test are in place while a test lasts.  The dialogues are added to the error of a test
    that fails.
    """

    #: Options of the sandbox: ``{"tls": "starttls"}``.
    sandbox_options: ClassVar[Mapping[str, Any]] = {}
    #: The sandbox of the test that runs.
    smtp: Sandbox

    def setUp(self) -> None:
        super().setUp()
        self.smtp = self.enterContext(Sandbox(**self.sandbox_options))
        self.enterContext(self.smtp.settings.in_place())

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        name = self._testMethodName
        before = vars(self).get(name)  # pytest puts its own there
        setattr(self, name, self._explained(getattr(self, name)))
        try:
            return super().run(result)
        finally:
            if before is None:
                delattr(self, name)
            else:
                setattr(self, name, before)

    def _explained(self, test: Callable[..., Any]) -> Callable[..., Any]:
        """A test whose errors have the dialogues with the sandbox as a note."""
        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def waiting(*arguments: Any) -> Any:
                with self._noted():
                    return await test(*arguments)

            return waiting

        @functools.wraps(test)
        def running(*arguments: Any) -> Any:
            with self._noted():
                return test(*arguments)

        return running

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except unittest.SkipTest:
            raise
        except Exception as error:
            error.add_note(f"The dialogues with the sandbox:\n{end_of_transcript(self.smtp.transcript)}")
            raise
