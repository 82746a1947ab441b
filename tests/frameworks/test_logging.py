"""``MailHandler``: what is mailed when, and that logging never waits, fails or floods."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from posthouse import read
from posthouse.core import Content, Envelope, LocalError, Outcome, Result
from posthouse.logging import Digest, Digests, MailHandler, Sample
from posthouse.sending import SendResult

PATIENCE = 60.0


def sample(text: str = "x") -> Sample:
    return Sample(0.0, "ERROR", "app", text, "a.py:1 (f)")


def add(digests: Digests, key: object, now: float) -> None:
    digests.add(key, lambda: sample(str(key)), now, now)


# The schedule, without a clock ----------------------------------------------------------------------------------------


def test_the_first_is_told_at_once_and_the_rest_with_counts() -> None:
    digests = Digests()
    assert digests.due is None
    for number in range(10_000):
        add(digests, "one", number / 10_000)
        if number == 0:
            assert digests.due == 0.0
            first = digests.take(0.0)
            assert first is not None
            assert first.records == 1
    assert digests.due == 60.0
    second = digests.take(60.0)
    assert second is not None
    assert [each.records for each in second.groups.values()] == [9_999]


def test_digests_become_rarer_while_it_goes_on_and_begin_anew_after_a_quiet_time() -> None:
    digests = Digests()
    taken = []
    now = 0.0
    while now < 7_200:
        add(digests, "one", now)
        if digests.due is not None and digests.due <= now:
            taken.append(now)
            digests.take(now)
        now += 1.0
    assert taken == [0.0, 60.0, 360.0, 2160.0, 3960.0, 5760.0]
    assert digests.take(now) is not None
    add(digests, "one", now + 1_900)
    assert digests.due == now + 1_900, "nothing was told for longer than the interval"


def test_a_new_group_is_told_soon_and_not_too_often() -> None:
    digests = Digests()
    mails = 0
    for number in range(7_200):
        add(digests, f"kind {number}", float(number))
        if digests.due is not None and digests.due <= number:
            digests.take(float(number))
            mails += 1
    assert 10 <= mails <= 30
    calm = Digests()
    for moment in (0.0, 60.0, 360.0):
        add(calm, "one", moment - 1 if moment else 0.0)
        calm.take(moment)
    add(calm, "one", 400.0)
    assert calm.due == 2_160.0
    add(calm, "another", 410.0)
    assert calm.due == 420.0


def test_what_was_not_sent_is_told_with_the_next() -> None:
    digests = Digests()
    add(digests, "one", 0.0)
    digest = digests.take(0.0)
    assert digest is not None
    add(digests, "one", 1.0)
    digests.put_back(digest, 1.0)
    assert digests.due == 60.0
    again = digests.take(60.0)
    assert again is not None
    assert again.records == 2


def test_memory_is_bounded() -> None:
    digests = Digests()
    for number in range(5_000):
        add(digests, number, 1.0)
    digest = digests.take(2.0)
    assert digest is not None
    assert (len(digest.groups), digest.others, digest.records) == (100, 4_900, 5_000)
    assert len(digest.recent) == 50
    assert len(digests._known) == 1_000
    digests.put_back(digest, 3.0)
    digests.put_back(digest, 3.0)
    assert len(digests._groups) == 100


# The handler ----------------------------------------------------------------------------------------------------------


class Kept:
    """A transport that keeps what it is given, and fails or waits where it is told to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.fails = False
        self.tried = threading.Semaphore(0)
        self.goes_on = threading.Event()
        self.goes_on.set()

    def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        assert self.goes_on.wait(PATIENCE)
        self.tried.release()
        if self.fails:
            raise ConnectionError("nobody is there")
        self.texts.append(b"".join(content.chunks()).decode())
        return SendResult(Outcome(each, Result.DELIVERED) for each in envelope.recipients)


class Logging:
    """A logger with the handler, apart from all others."""

    def __init__(self, **more: Any) -> None:
        self.kept = Kept()
        self.handler = MailHandler("app@here.test", "ops@here.test", self.kept, flush_timeout=PATIENCE, **more)
        self.log = logging.Logger("app.part")
        self.log.addHandler(self.handler)


@pytest.fixture
def here() -> Iterator[Logging]:
    made = Logging()
    yield made
    made.kept.goes_on.set()
    made.handler.close()
    thread = made.handler._thread
    if thread is not None:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_record_is_mailed_with_its_traceback(here: Logging) -> None:
    try:
        try:
            {}["no such key"]
        except KeyError as error:
            raise ValueError("outer\nsecond line") from error
    except ValueError:
        here.log.exception("failed for %s", "任平")
    here.handler.flush()
    (text,) = here.kept.texts
    assert "Auto-Submitted: auto-generated" in text
    message = read(text.encode())
    assert str(message.subject).endswith(": ERROR app.part: failed for 任平")
    assert "KeyError: 'no such key'" in message.text
    assert 'raise ValueError("outer\\nsecond line") from error' in message.text
    assert "test_a_record_is_mailed_with_its_traceback" in message.text
    assert message.text.index("KeyError") < message.text.index("ValueError: outer")


def test_ten_thousand_errors_while_the_server_is_down(here: Logging, capsys: pytest.CaptureFixture[str]) -> None:
    here.kept.fails = True
    here.kept.goes_on.clear()
    for number in range(10_000):
        here.log.error("number %d", number)
    here.kept.goes_on.set()
    assert here.kept.tried.acquire(timeout=PATIENCE)
    here.handler.flush()
    here.kept.fails = False
    here.handler.flush()
    (text,) = here.kept.texts
    assert "10,000 times" in text
    assert "log records could not be mailed: ConnectionError: nobody is there" in capsys.readouterr().err


def test_emit_does_no_io(here: Logging) -> None:
    """The sending thread waits for the network meanwhile."""
    here.kept.goes_on.clear()
    here.log.error("the first starts the thread")
    events: list[str] = []
    own = threading.get_ident()
    sys.addaudithook(lambda name, _: events.append(name) if threading.get_ident() == own and armed else None)
    armed = True
    try:
        for number in range(500):
            try:
                raise OSError("disk")
            except OSError:
                here.log.exception("number %d", number)
    finally:
        armed = False
    assert not [each for each in events if each.startswith(("open", "socket", "os."))], events[:5]


def test_nothing_that_is_logged_raises(here: Logging) -> None:
    class Spiteful:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    class SpitefulError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    here.log.error("%s", Spiteful())
    here.log.error("%d %d", 1)
    here.log.error("x" * 1_000_000)
    here.log.error("line\r\nBcc: evil@x.test\x00\ud800")
    try:
        raise SpitefulError
    except SpitefulError:
        here.log.exception("y")
    here.handler.flush()
    assert all(len(text) < 100_000 and "\nBcc:" not in text.partition("\r\n\r\n")[0] for text in here.kept.texts)
    text = "".join(read(text.encode()).text for text in here.kept.texts)
    assert "SpitefulError: its text could not be made" in text


def test_records_about_sending_are_passed_over(here: Logging) -> None:
    other = logging.Logger("posthouse.client")
    other.addHandler(here.handler)
    other.error("our own")
    assert here.handler._thread is None

    def deliver(envelope: Envelope, content: Content) -> SendResult:
        here.log.error("from within")
        return original(envelope, content)

    original, here.kept.deliver = here.kept.deliver, deliver  # type: ignore[method-assign]
    here.log.error("one")
    here.handler.flush()
    assert here.handler._digests.due is None
    assert len(here.kept.texts) == 1


def test_levels_and_formats_of_the_standard_library() -> None:
    from logging.config import dictConfig

    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "mail": {
                    "class": "posthouse.logging.MailHandler",
                    "sender": "a@here.test",
                    "to": ["b@here.test"],
                    "via": "memory:log",
                    "level": "CRITICAL",
                }
            },
            "loggers": {"shop": {"handlers": ["mail"], "propagate": False}},
        }
    )
    log = logging.getLogger("shop")
    (handler,) = log.handlers
    assert isinstance(handler, MailHandler)
    log.error("below")
    assert handler._thread is None
    log.removeHandler(handler)
    log.propagate = True
    handler.close()
    with pytest.raises(LocalError):
        MailHandler("no address", "b@here.test")


def test_a_forked_process_has_its_own(here: Logging) -> None:
    here.log.error("before")
    here.handler.flush()
    pid = os.fork()
    if not pid:
        try:
            here.log.error("in the child")
            here.handler.flush()
            os._exit(0 if len(here.kept.texts) == 2 and "before" not in here.kept.texts[1] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(here.kept.texts) == 1


END = """
import logging, socket, sys
from posthouse.logging import MailHandler
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen()
via = sys.argv[1] or "smtp://127.0.0.1:%d" % listener.getsockname()[1]
logging.getLogger().addHandler(MailHandler("a@here.test", "b@here.test", via))
logging.getLogger("app").error("the last words")
"""


def test_the_end_of_the_program_sends_what_waits(tmp_path: Path) -> None:
    command = [sys.executable, "-c", END, f"spool:{tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stderr == ""
    (written,) = (tmp_path / "maildrop").iterdir()
    assert "the last words" in written.read_text()


def test_the_end_of_the_program_does_not_wait_for_a_silent_server() -> None:
    """The server would be waited for until its time limit, which is as long as the patience of this test."""
    subprocess.run([sys.executable, "-c", END, ""], capture_output=True, timeout=PATIENCE, check=True)


def test_closing_sends_what_waits_and_waits_once(here: Logging) -> None:
    here.log.error("one")
    here.handler.close()
    (text,) = here.kept.texts
    assert "one" in text

    other = Logging()
    other.kept.fails = True
    other.log.error("two")
    other.handler.flush()
    tries = other.kept.tried.acquire(timeout=PATIENCE)
    while other.kept.tried.acquire(blocking=False):
        pass  # the first mail is due at once, perhaps before it is asked for
    other.handler.close()
    assert tries
    assert not other.kept.tried.acquire(blocking=False), "nothing has come since it was tried"


def test_a_handler_that_was_closed_is_not_waited_for(here: Logging) -> None:
    here.log.error("one")
    here.handler.flush()
    here.handler.close()
    here.handler.flush()
    here.log.error("two")
    here.handler.flush()
    assert len(here.kept.texts) == 1


def test_a_digest_is_a_value() -> None:
    assert Digest({}, 3, ()).records == 3
