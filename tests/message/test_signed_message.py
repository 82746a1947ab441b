"""``Message.sign``: what is sent is what was signed."""

from __future__ import annotations

from pathlib import Path

import pytest

import posthouse
from posthouse import LocalError, Message
from posthouse.mailauth import DkimKey, answer, sign_dkim, verify_dkim
from posthouse.sending import memory

KEY = DkimKey.generate("sohu.com", "2026e", "ed25519")
ZONE = {KEY.record_name: {"TXT": [KEY.record()]}}


def composed(folder: Path) -> Message:
    attached = folder / "图.png"
    attached.write_bytes(bytes(range(256)) * 1_000)
    return Message(
        sender="朗瑞 <langrui@sohu.com>",
        to="renping@sina.com",
        bcc="hidden@sina.com",
        subject="你好",
        text="…\n.\n",
        attachments=[attached],
    )


def test_a_signed_message_is_sent_like_any_other_and_its_signature_is_right(tmp_path: Path) -> None:
    message = composed(tmp_path)
    signed = message.sign(dkim=KEY)
    with posthouse.Pool("memory:signed") as pool:
        assert [result.ok for result in pool.send_many([signed, signed])] == [True, True]
    assert posthouse.send(signed, via="memory:signed").ok
    kept = memory("signed").messages[-1]
    assert kept.content == signed.as_bytes() == signed.signature_fields + message.as_bytes()
    assert len(kept.envelope.recipients) == 2
    assert kept.envelope.size == signed.size == len(kept.content)
    assert b"hidden" not in kept.content
    found = answer(verify_dkim(kept.content), ZONE)
    assert (found.result, found.domains) == ("pass", ("sohu.com",))


def test_the_signature_has_the_options_that_a_function_gives_it(tmp_path: Path) -> None:
    signed = composed(tmp_path).sign(dkim=lambda chunks: sign_dkim(chunks, [KEY], identity="@news.sohu.com"))
    assert answer(verify_dkim(signed.as_bytes()), ZONE).signatures[0].identity == "@news.sohu.com"
    signed.save(tmp_path / "signed.eml")
    assert (tmp_path / "signed.eml").read_bytes() == signed.as_bytes()


@pytest.mark.parametrize("now", [b"shorter", bytes(reversed(range(256))) * 1_000], ids=["shorter", "as long"])
def test_a_file_that_has_changed_since_is_told(now: bytes, tmp_path: Path) -> None:
    message = composed(tmp_path)
    signed = message.sign(dkim=KEY)
    (tmp_path / "图.png").write_bytes(now)
    with pytest.raises(LocalError, match="changed since the message was signed; sign the message again"):
        posthouse.send(signed, via="memory:changed")
    assert memory("changed").messages == []
