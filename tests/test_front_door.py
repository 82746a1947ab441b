"""``import posthouse`` is cheap, and the names it promises are there."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.sending.scripted_peer import ScriptedPeer

import posthouse


def test_importing_it_imports_no_room() -> None:
    script = (
        "import sys; import posthouse; print([name for name in sys.modules if name.startswith('posthouse.')]); "
        "posthouse.Address; print('posthouse.core' in sys.modules, 'posthouse.client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["[]", "True False"]


def test_the_names_are_those_of_the_rooms() -> None:
    from posthouse.client import connect
    from posthouse.core import Reply
    from posthouse.message import compose

    assert (posthouse.connect, posthouse.compose, posthouse.Reply) == (connect, compose, Reply)
    assert set(posthouse.__all__) <= set(dir(posthouse))


def test_testing_needs_no_import_of_its_own() -> None:
    script = (
        "import sys; import posthouse; assert 'posthouse.testing' not in sys.modules; print(posthouse.testing.Sandbox)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "posthouse.sandbox.sandbox.Sandbox" in done.stdout


@pytest.mark.parametrize("package", ["sending", "mailauth", "logging", "app", "message"])
def test_the_packages_of_the_library_need_no_import_of_their_own(package: str) -> None:
    """The manual writes ``posthouse.sending.memory()`` below ``import posthouse``."""
    script = f"import posthouse, sys; before = 'posthouse.{package}' in sys.modules; print(before, posthouse.{package})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"False <module 'posthouse.{package}'")


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'horse'"):
        posthouse.horse  # type: ignore[attr-defined]  # noqa: B018


def test_sending_a_message_imports_no_event_loop_no_tls_and_no_email() -> None:
    """The budget of LIBRARY: what these modules cost is more than all of Posthouse that sends a message."""
    costly = [
        *("asyncio", "concurrent.futures", "email", "hashlib", "importlib.metadata", "inspect", "logging", "random"),
        *("ssl", "tempfile"),
    ]
    script = (
        "import sys; import posthouse; "
        "message = posthouse.Message(sender='a@a.example', to='b@b.example', text='hello'); "
        "posthouse.send(message, via=sys.argv[1]).raise_for_failures(); "
        f"print([x for x in {costly} if x in sys.modules])"
    )
    with ScriptedPeer({}) as peer:
        done = subprocess.run(
            [sys.executable, "-c", script, peer.url], capture_output=True, text=True, timeout=60, check=True
        )
    assert done.stdout.strip() == "[]"
