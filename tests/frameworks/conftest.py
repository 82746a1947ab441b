"""A server for the tests of the integrations: the sandbox, apart from the fixture that is tested elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from posthouse.sandbox import Sandbox


@pytest.fixture
def server() -> Iterator[Sandbox]:
    """An SMTP server in this process."""
    with Sandbox() as sandbox:
        yield sandbox
