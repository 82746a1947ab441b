"""The pages that check domains and messages, the keys that sign, and authentication beside a message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from posthouse.core import Address, Bytes, Envelope, MethodVerdict, Recipient
from posthouse.service import OPERATIONS
from posthouse.spool.history import Origin

from .conftest import CONFIG, ConsoleHarness

ZONE = json.dumps(
    {
        "example.org": {"MX": ["10 mx.example.org"], "TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
        "mx.example.org": {"A": ["192.0.2.1"]},
        "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject"]},
    }
)
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[ConsoleHarness]:
    with ConsoleHarness(f'data_dir = "{tmp_path}"\n{CONFIG}') as made:
        yield made
        assert made.faults == []


def post(client: TestClient, path: str, **fields: Any) -> Any:
    [token] = set(re.findall(r'name="csrf" value="([0-9a-f]{64})"', client.get("/check").text))
    return client.post(path, data={"csrf": token, **fields})


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_domain_is_checked_by_its_records(client: TestClient, lang: str) -> None:
    zone = json.dumps({"example.org": {"MX": ["10 mx.example.org"], "TXT": ["v=spf1 ip4:192.0.2.1 -all"]}})
    shown = post(client, f"/check?lang={lang}", domain="example.org", zone=zone)
    assert shown.status_code == 200
    assert "v=spf1 ip4:192.0.2.1 -all" in shown.text
    assert ("DMARC：接收SMTP如何处理伪造的邮件" if lang == "zh" else "DMARC: what receivers do") in shown.text
    assert re.search(r'data-copy="[^"]*v=', shown.text), "a record to publish can be copied"


def test_a_domain_without_records_is_a_report_too(client: TestClient) -> None:
    found = client.get("/check.json?domain=nothing.test").json()
    assert found["domain"] == "nothing.test"
    assert found["topics"][0]["findings"][0]["level"] == "error"
    assert client.get("/check.json").json() is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"domain": "no domain", "zone": ZONE}, "notice-warning"),
        ({"domain": "example.org", "zone": "{"}, "the zone is no JSON text"),
    ],
)
def test_a_wrong_question_stays_in_the_form(client: TestClient, fields: dict[str, str], words: str) -> None:
    shown = post(client, "/check", **fields)
    assert shown.status_code == 400
    assert words in shown.text
    assert fields["domain"] in shown.text
    assert client.post("/check", json=fields).json()["status"] == 400


MESSAGE = f"From: ann@example.org\nTo: bob@here.test\nSubject: {SCRIPT}\n\nhello {SCRIPT}\n"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_message_is_checked_as_a_receiver_does(client: TestClient, lang: str) -> None:
    shown = post(
        client, f"/check/message?lang={lang}", message=MESSAGE, ip="198.51.100.1", mail_from="ann@example.org",
        helo="x.test", zone=ZONE,
    )  # fmt: skip
    assert shown.status_code == 200
    assert re.findall(r'<th scope="row">(SPF|DKIM|DMARC)</th>', shown.text) == ["SPF", "DKIM", "DMARC"]
    assert ("要求接收SMTP：拒收" if lang == "zh" else "asks receivers to: refuse it") in shown.text
    assert SCRIPT not in shown.text
    found = client.post("/check/message", json={"message": MESSAGE, "zone": ZONE}).json()
    assert (found["spf"], found["dmarc"]["result"]) == (None, "unknown")


def test_a_file_is_checked_and_a_large_one_refused(client: TestClient) -> None:
    [token] = set(re.findall(r'name="csrf" value="([0-9a-f]{64})"', client.get("/check/message").text))
    fields = {"csrf": token, "zone": ZONE}
    shown = client.post("/check/message", data=fields, files={"file": ("a.eml", MESSAGE.encode(), "message/rfc822")})
    assert '<th scope="row">DMARC</th>' in shown.text
    large = {"file": ("a.eml", b"x" * ((4 << 20) + 1), "message/rfc822")}
    assert client.post("/check/message", data=fields, files=large).status_code == 413
    empty = client.post("/check/message", data={**fields, "ip": f'"{SCRIPT}'})
    assert empty.status_code == 400
    assert "there is no message" in empty.text
    assert SCRIPT not in empty.text


def test_keys_that_sign_are_shown_with_their_records(harness: ConsoleHarness) -> None:
    assert "dkim keygen" in harness.client.get("/configuration/dkim").text

    async def keygen() -> None:
        context = harness.daemon.context("ann")
        await OPERATIONS["dkim keygen"].run(context, domain="here.test", algorithm="ed25519", selector="s1")

    harness.run(keygen)
    for lang in ("en", "zh"):
        text = harness.client.get(f"/configuration/dkim?lang={lang}").text
        assert "s1._domainkey.here.test" in text
        assert re.search(r'data-copy="v=DKIM1; k=ed25519; p=[^"]+"', text)
    assert "PRIVATE" not in text


@pytest.mark.parametrize(("lang", "words"), [("en", "SPF: softfail for x.test"), ("zh", "SPF 结果为 softfail")])
def test_authentication_stands_beside_a_message_and_in_its_history(
    harness: ConsoleHarness, lang: str, words: str
) -> None:
    queue_id = harness.run(_authenticated, harness)
    listed = harness.client.get("/inbox.json").json()["messages"]
    assert [each["queue_id"] for each in listed] == [queue_id]
    shown = harness.client.get(f"/message/{listed[0]['number']}?tab=check&lang={lang}").text
    assert words in shown
    assert words in harness.client.get(f"/history/{queue_id}?lang={lang}").text


async def _authenticated(harness: ConsoleHarness) -> str:
    """A message in an inbox whose history has a verdict."""
    now = harness.clock.time()
    incoming = harness.spool.receive()
    incoming.write(b"Subject: x\r\n\r\nhello\r\n")
    envelope = Envelope(Address("ann", "x.test"), (Recipient(Address("ann", "here.test")),))
    verdict = MethodVerdict("spf", "softfail", "x.test", "the record says ~all")
    await incoming.commit(
        envelope, ["here.test"], received=now, due=now, source="mx 192.0.2.1:4000",
        arrival=Origin("<a@x.test>", verdicts=(verdict,)),
    )  # fmt: skip
    entry = await harness.spool.queries.entry(incoming.id)
    assert entry is not None
    await harness.spool.keep("ann@here.test", entry.message, Bytes(b"Subject: x\r\n\r\nhello\r\n"))
    return incoming.id
