"""The client libraries of Mailpit and MailHog on PyPI, as they are: they read, wait, search, tag and delete."""

from __future__ import annotations

from collections.abc import Iterator

import mailhog
import pytest
from mailpit.client.api import API
from pytest_mailpit.chaos import Chaos
from pytest_mailpit.client import MailpitClient
from pytest_mailpit.errors import MailpitAPIError, MailpitAssertionError

from .conftest import PATIENCE, ServedCatcher, written


@pytest.fixture
def client(catcher: ServedCatcher) -> Iterator[MailpitClient]:
    with MailpitClient(catcher.url, timeout=PATIENCE, wait_timeout=PATIENCE, poll_interval=0.05) as made:
        yield made


class TestPytestMailpit:
    def test_it_waits_for_a_message_and_reads_it(self, client: MailpitClient, catcher: ServedCatcher) -> None:
        sent = catcher.send(written("Your code"), "ann@a.example", "hidden@a.example")
        message = client.wait_for_message(recipient="ann@a.example", subject="Your code")
        assert message.id == sent
        assert message.subject == "Your code"
        assert message.sender.address == "shop@example.org"
        assert [each.address for each in message.cc] == ["copy@a.example"]
        assert [each.address for each in message.bcc] == ["hidden@a.example"]
        assert "482913" in message.text
        assert "<b>482913</b>" in message.html
        (file,) = message.attachments
        assert (file.file_name, file.content_type) == ("numbers.csv", "text/csv")
        assert client.get_attachment(file) == b"a,b\r\n1,2\r\n"
        assert client.get_headers(sent)["Message-Id"] == ["<Your.code@example.org>"]
        assert b"Subject: Your code\r\n" in client.get_raw(sent)

    def test_its_waits_fail_with_what_did_arrive(self, client: MailpitClient, catcher: ServedCatcher) -> None:
        catcher.send(written("Other"), "ann@a.example")
        with pytest.raises(MailpitAssertionError, match="Other"):
            client.wait_for_message(recipient="ann@a.example", subject="Wanted", timeout=0.2)
        client.assert_no_message(recipient="nobody@a.example", within=0.2)

    def test_read_marks_tags_and_deletion(self, client: MailpitClient, catcher: ServedCatcher) -> None:
        first = catcher.send(written("First"), "ann@a.example")
        second = catcher.send(written("Second"), "bob@a.example")
        assert [each.id for each in client.messages().messages] == [second, first]
        assert not any(each.read for each in client.messages().messages)
        client.mark_read([first])
        assert [each.read for each in client.messages().messages] == [False, True]
        client.get_message(second)
        assert client.messages().unread == 0
        client.mark_read([second], read=False)
        assert client.messages().unread == 1
        client.set_tags([first], ["red", "blue"])
        assert client.search("tag:red").messages[0].tags == ("blue", "red")
        client.set_tags([first], ["blue"])
        assert client.search("tag:red").messages_count == 0
        client.delete_messages([first])
        assert [each.id for each in client.messages().messages] == [second]
        client.delete_search("to:bob@a.example")
        assert client.messages().total == 0

    def test_pages_of_a_search(self, client: MailpitClient, catcher: ServedCatcher) -> None:
        ids = [catcher.send(written(f"Number {n}"), "ann@a.example") for n in range(5)]
        found = client.search_all('subject:"Number"', page_size=2)
        assert [each.id for each in found] == ids[::-1]
        page = client.search('subject:"Number"', start=3, limit=10)
        assert (page.messages_count, [each.id for each in page.messages]) == (5, ids[1::-1])

    def test_chaos(self, client: MailpitClient, catcher: ServedCatcher) -> None:
        chaos = Chaos(client)
        chaos.reject_recipients(452)
        assert chaos.triggers.recipient.error_code == 452
        [fault] = catcher.run("fault list").faults
        assert (fault.stage, fault.reply) == ("rcpt", "452 Chaos recipient error")
        chaos.reject_senders(550, probability=30)
        assert (chaos.triggers.sender.probability, chaos.triggers.recipient.probability) == (30, 100)
        chaos.reset()
        assert catcher.run("fault list").faults == []

    def test_what_it_asks_first(self, client: MailpitClient, catcher: ServedCatcher) -> None:
        assert client.is_ready()
        catcher.send(written("One"), "ann+news@a.example")
        info = client.info()
        assert info.version.startswith("posthouse ")
        assert info.messages == 1
        with pytest.raises(MailpitAPIError):
            client.get_message("no-such-message")


class TestMailpitApiClient:
    def test_it_lists_reads_and_deletes(self, catcher: ServedCatcher) -> None:
        api = API(catcher.url, timeout=60)
        first = catcher.send(written("First"), "ann@a.example")
        second = catcher.send(written("Second"), "ann@a.example")
        listed = api.get_messages(limit=10)
        assert [each.id for each in listed.messages] == [second, first]
        assert listed.total == 2
        message = api.get_message(first)
        assert message.from_ is not None
        assert (message.subject, message.from_.address) == ("First", "shop@example.org")
        assert message.attachments[0].file_name == "numbers.csv"
        assert api.get_message_attachment(first, message.attachments[0].part_id) == "a,b\r\n1,2\r\n"
        assert api.get_message_headers(first).message_id == ["<First@example.org>"]
        api.put_messages([second], "Read", True)
        assert catcher.run("inbox count").unread == 0
        api.delete_messages([first])
        assert [each.id for each in api.get_messages().messages] == [second]
        api.delete_messages([])
        assert api.get_messages().total == 0


class TestMailhog:
    def test_it_lists_searches_and_deletes(self, catcher: ServedCatcher) -> None:
        client = mailhog.Mailhog("127.0.0.1", catcher.port)
        catcher.send(written("First"), "ann@a.example")
        catcher.send(written("Second"), "bob@a.example", sender="other@example.org")
        found = client.messages()
        assert (found.total, found.count) == (2, 2)
        assert [each.get_subject() for each in found.items] == ["Second", "First"]
        assert found.items[1].get_recipients() == ["ann@a.example"]
        assert found.items[0].get_sender() == "other@example.org"
        one = client.search("bob@a.example", kind="to")
        assert [each.get_subject() for each in one.items] == ["Second"]
        client.delete(one.items[0])
        assert client.messages().total == 1
        client.delete_all()
        assert client.messages().total == 0
