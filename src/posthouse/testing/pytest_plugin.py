"""Plugin for pytest (entry point ``posthouse``): the fixture ``smtp_sandbox``.

pytest loads this module in each of its runs, in whatever project.  So it imports nothing of Posthouse until a test asks
for the fixture, has no automatic fixture and no hook around tests.  It has no assertions for pytest to rewrite, so that
no run warns where it was imported before (PYTEST_DONT_REWRITE).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from posthouse.sandbox import Sandbox

__all__ = ["pytest_configure", "smtp_sandbox"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "smtp_sandbox(**options): options of the fixture smtp_sandbox, "
        'such as tls="starttls", auth="required", users={"ann": "secret"}',
    )


@pytest.fixture
def smtp_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """An SMTP server in this process, at a free port, to which the program under test sends.

    Environment variables and settings of Django and Flask name it while the test lasts.  See docs/testing.md.
    """
    from posthouse.testing.sandbox_fixture import sandbox_of

    with sandbox_of(request) as sandbox:
        yield sandbox
