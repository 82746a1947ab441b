"""The sink: each fault at its stage, over live sockets; what it counts; what its options may say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from posthouse.core import Reply, SettingError
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.sandbox import Counts, FaultRule, Sink, open_sink, parse_delay, parse_drop, parse_fail
from posthouse.sandbox.load import filler

STAGES = [
    b"EHLO me\r\n",
    b"MAIL FROM:<a@b.org>\r\n",
    b"RCPT TO:<c@d.org>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\nx\r\n.\r\n",
    b"QUIT\r\n",
]


def test_the_sink_is_lenient_and_counts_what_it_tolerates() -> None:
    async def main() -> tuple[dict[str, int], int]:
        async with asyncio.timeout(10):
            sink = Sink(network=SocketNetwork(), clock=SystemClock(), hostname="sink.test")
            place = await sink.listen(Endpoint("127.0.0.1", 0))
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(b"EHLO x\r\nMAIL FROM:<root>\r\nRCPT TO:d..@e.example\r\nDATA\r\n")
            writer.write(b"x\n\ny\n.\r\n\r\n.\r\nQUIT\r\n")
            assert b"221" in await reader.read()
            writer.close()
            await sink.stop()
            return sink.tolerated, sink.counts.messages

    assert asyncio.run(main()) == ({"no-domain": 1, "misplaced-dot": 1, "no-brackets": 1, "bare-lf": 3}, 1)


def test_a_sink_refuses_as_often_as_it_is_asked() -> None:
    """A daemon ends such a session; a sink is there to refuse."""

    async def main() -> bytes:
        async with asyncio.timeout(20):
            sink = Sink(
                network=SocketNetwork(), clock=SystemClock(), hostname="sink.test", faults=[parse_fail("rcpt:550")]
            )
            place = await sink.listen(Endpoint("127.0.0.1", 0))
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(b"EHLO x\r\nMAIL FROM:<a@b.org>\r\n" + b"RCPT TO:<c@d.org>\r\n" * 500 + b"QUIT\r\n")
            said = await reader.read()
            writer.close()
            await sink.stop()
            return said

    said = asyncio.run(main())
    assert said.count(b"\r\n550") == 500
    assert b"\r\n221" in said


def dialogue(faults: Sequence[FaultRule], *, lmtp: bool = False) -> tuple[list[str], Counts]:
    """Each stage's code, "" from where the channel was cut; and what the sink counted."""

    async def reply(reader: asyncio.StreamReader) -> str:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        return line[:3].decode()

    async def main() -> tuple[list[str], Counts]:
        async with asyncio.timeout(60):
            sink = Sink(network=SocketNetwork(), clock=SystemClock(), hostname="sink.test", faults=faults, lmtp=lmtp)
            place = await sink.listen(Endpoint("127.0.0.1", 0))
            reader, writer = await asyncio.open_connection(*place)
            codes = []
            try:
                codes.append(await reply(reader))
                for stage in STAGES:
                    if not codes[-1] or codes[-1] in ("554", "451"):
                        break
                    writer.write(stage.replace(b"EHLO", b"LHLO") if lmtp else stage)
                    codes.append(await reply(reader))
            except ConnectionError:
                codes.append("")
            writer.close()
            await sink.stop()
            return codes, sink.counts

    return asyncio.run(main())


def test_all_is_well() -> None:
    codes, counts = dialogue([])
    assert codes == ["220", "250", "250", "250", "354", "250", "221"]
    assert counts == Counts(1, 1, 1, len("Subject: x\r\n\r\nx\r\n"), 0, 0)


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("connect:554", ["554"]),
        ("helo:451", ["220", "451"]),
        ("mail:451", ["220", "250", "451"]),
        ("rcpt:451:4.2.1", ["220", "250", "250", "451"]),
        ("data:451", ["220", "250", "250", "250", "451"]),
        ("end:451", ["220", "250", "250", "250", "354", "451"]),
    ],
)
def test_failures_at_each_stage(fault: str, codes: list[str]) -> None:
    assert dialogue([parse_fail(fault)]) == (codes, Counts(1, 0, 0, 17 if "end" in fault else 0, 1, 0))


@pytest.mark.parametrize(
    ("stage", "before"), [("connect", 0), ("ehlo", 1), ("mail", 2), ("rcpt", 3), ("data", 4), ("end", 5)]
)
def test_421_ends_the_session_at_each_stage(stage: str, before: int) -> None:
    codes, counts = dialogue([parse_fail(f"{stage}:421")])
    assert codes == [*["220", "250", "250", "250", "354", "250"][:before], "421", ""]
    assert (counts.messages, counts.refused, counts.dropped) == (0, 1, 0)


def test_a_seed_makes_chances_repeatable() -> None:
    def struck(seed: int) -> list[bool]:
        async def run() -> list[bool]:
            sink, _ = await open_sink("127.0.0.1:0", faults=[parse_fail("rcpt:450@0.5")], seed=seed)
            found = [sink.random.random() < 0.5 for _ in range(64)]
            await sink.stop()
            return found

        return asyncio.run(run())

    assert struck(7) == struck(7)
    assert struck(7) != struck(8)


@pytest.mark.parametrize(
    ("stage", "before"), [("connect", 0), ("helo", 1), ("mail", 2), ("rcpt", 3), ("data", 4), ("end", 5)]
)
def test_cuts_at_each_stage(stage: str, before: int) -> None:
    codes, counts = dialogue([parse_drop(stage)])
    assert codes == [*["220", "250", "250", "250", "354", "250"][:before], ""]
    assert (counts.messages, counts.dropped) == (0, 1)


@pytest.mark.parametrize("stage", ["connect", "helo", "mail", "rcpt", "data", "end"])
@pytest.mark.parametrize("lmtp", [False, True])
def test_delays_change_no_answer(stage: str, lmtp: bool) -> None:
    codes, counts = dialogue([parse_delay(f"{stage}:0.001")], lmtp=lmtp)
    assert codes == ["220", "250", "250", "250", "354", "250", "221"]
    assert counts.messages == 1


def test_a_share_of_nothing_is_nothing() -> None:
    assert dialogue([parse_fail("rcpt:550@0")])[0][-1] == "221"


def test_what_is_read() -> None:
    assert parse_fail("rcpt:450@0.1") == FaultRule("rcpt", 0.1, Reply(450, "4.0.0", "Refused on demand"))
    assert parse_fail("end:552:5.3.4").reply == Reply(552, "5.3.4", "Refused on demand")
    assert parse_fail("ehlo:504") == parse_fail("lhlo:504") == parse_fail("helo:504")
    assert parse_drop("data@.5") == FaultRule("data", 0.5, drop=True)
    assert parse_delay("2.5") == FaultRule("end", delay=2.5)
    assert parse_delay("rcpt:1@1") == FaultRule("rcpt", delay=1.0)


@pytest.mark.parametrize("text", ["", "rcpt", "rcpt:250", "rcpt:4500", "x:450", "rcpt:450@", "rcpt:450@1.1",
                                  "rcpt:450:5.0.0", "connect:450"])  # fmt: skip
def test_what_is_no_failure(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_fail(text)
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["", "x:1", "rcpt:", "rcpt:-1", "1e3", "99999"])
def test_what_is_no_delay(text: str) -> None:
    with pytest.raises(SettingError):
        parse_delay(text)


@pytest.mark.parametrize("size", [0, 70, 100, *range(120, 420), 4096, 65_537])
def test_a_message_of_a_size(size: int) -> None:
    made = filler("a@b.org", "c@d.org", size)
    head, _, _ = made.partition(b"\r\n\r\n")
    assert len(made) == max(size, len(head) + 4) or (len(made) == len(head) + 4 and size < len(head) + 6)
    assert made.endswith(b"\r\n")
    assert made.count(b"\n") == made.count(b"\r\n") == made.count(b"\r")
