"""``via="spool:"``: messages of programs in the queue of the local daemon."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

import posthouse
from posthouse.core import SettingError, StorageError
from posthouse.service import Daemon, parse
from posthouse.service.maildrop.drop_file import DropFile
from posthouse.service.maildrop.spool_transport import SpoolTransport

TEXT = b"From: ann@here.test\r\nTo: bob@here.test\r\nBcc: eve@here.test\r\nMessage-ID: <1@here.test>\r\n\r\nhi\r\n"
CONFIG = """
hostname = "mail.here.test"
data_dir = "{}"
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "here.test"
mailboxes = "any"
"""


def drop(directory: Path) -> DropFile:
    (path,) = (directory / "maildrop").iterdir()
    return DropFile(str(path))


def test_a_message_waits_for_the_daemon(tmp_path: Path) -> None:
    result = posthouse.send(TEXT, f"spool:{tmp_path}")
    file = drop(tmp_path)
    file.close()
    assert result.ok
    assert [each.peer for each in result] == [str(tmp_path / "maildrop")] * 2
    assert str(result["bob@here.test"].reply).startswith("250 2.0.0 Ok: waits for the daemon as ")
    assert os.listdir(tmp_path / "maildrop") == [result.queue_id]
    assert file.dropped.message_id == "<1@here.test>"
    assert [str(each.address) for each in file.dropped.envelope.recipients] == ["bob@here.test", "eve@here.test"]


def test_the_daemon_answers_with_its_queue_id(tmp_path: Path) -> None:
    events: list[tuple[str, dict[str, Any]]] = []

    async def scenario() -> None:
        daemon = Daemon(
            parse(CONFIG.format(tmp_path)), log=lambda event, /, **facts: events.append((event, facts)), control=True
        )
        await daemon.start()
        try:
            first = await posthouse.asend(TEXT, f"spool:{tmp_path}", key="invoice 7/ä")
            again = await posthouse.asend(TEXT, f"spool:{tmp_path}?key=invoice%207%2F%C3%A4")
            assert (first.ok, again.ok) == (True, True)
            assert first.queue_id == again.queue_id
            assert [facts["id"] for event, facts in events if event == "accepted"] == [first.queue_id]
            other = await posthouse.asend(TEXT, f"spool:{tmp_path}")
            assert other.queue_id not in ("", first.queue_id)
        finally:
            await daemon.drain(5.0)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_what_the_daemon_would_refuse_for_its_size_is_an_outcome(tmp_path: Path) -> None:
    (tmp_path / "maildrop").mkdir()
    (tmp_path / "maildrop" / "terms.json").write_text('{"hostname": "h.test", "max_message_size": 50}')
    result = posthouse.send(TEXT, f"spool:{tmp_path}")
    assert [str(each.reply)[:9] for each in result.failed] == ["552 5.3.4", "552 5.3.4"]


def test_storage_that_fails_is_an_exception(tmp_path: Path) -> None:
    (tmp_path / "maildrop").write_text("no directory")
    with pytest.raises(StorageError, match="could not be stored"):
        posthouse.send(TEXT, f"spool:{tmp_path}")


def test_the_default_place_is_that_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "p.toml"
    config.write_text(CONFIG.format(tmp_path / "house"))
    monkeypatch.setenv("POSTHOUSE_CONFIG", str(config))
    monkeypatch.setenv("POSTHOUSE_URL", "spool:")
    assert posthouse.send(TEXT).ok
    assert len(os.listdir(tmp_path / "house" / "maildrop")) == 1


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("spool:relative/path", {}, "whole path"),
        ("spool:/x?mode=fast", {}, "no parameter mode"),
        ("spool:/x", {"key": "k" * 2000}, "longer than 1000"),
        ("smtp://127.0.0.1:1", {"key": "a"}, 'leave key out, or send by via="spool:"'),
        ("spool:/tmp", {"ca": "x.pem"}, "leave ca out"),
        ("spool:/nowhere/at-all", {}, "/nowhere/at-all: there is no such directory; correct the path"),
    ],
)
def test_what_is_wrong_is_said(url: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        posthouse.send(TEXT, url, **options)
    assert not os.path.exists("/nowhere")


def test_a_large_message_is_not_held_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    large = tmp_path / "large.eml"
    with large.open("wb") as file:
        file.write(b"From: a@here.test\r\nTo: b@here.test\r\n\r\n")
        for _ in range(8):
            file.write(b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * 13_000)
    tracemalloc.start()
    try:
        assert posthouse.send(large, SpoolTransport(f"spool:{tmp_path}")).ok
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20, f"{peak} octets for a message of {large.stat().st_size}"
