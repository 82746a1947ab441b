"""Tests of a program that sends mail, with pytest: ``pytest examples/test_with_pytest.py``."""

import pytest

import posthouse
from posthouse.testing import Sandbox


def send_code(address: str) -> posthouse.SendResult:  # stands for your program, which reads POSTHOUSE_URL
    text = "Your code is 471102. Or open https://example.org/verify?id=7."
    return posthouse.send(posthouse.Message(sender="app@example.org", to=address, subject="Your code", text=text))


def test_the_code_arrives(smtp_sandbox: Sandbox) -> None:
    assert send_code("ann@example.com").ok
    message = smtp_sandbox.wait_for(to="ann@example.com", subject="Your code")
    assert (message.code, message.link) == ("471102", "https://example.org/verify?id=7")


def test_a_full_mailbox_is_told(smtp_sandbox: Sandbox) -> None:
    smtp_sandbox.on("rcpt", to="ann@*").reply("452 4.2.2 Mailbox is full").fail_times(1)
    assert send_code("ann@example.com").deferred
    smtp_sandbox.expect_none(within=0.1)
    assert send_code("ann@example.com").ok


@pytest.mark.smtp_sandbox(tls="required", auth="required", users={"app": "secret"})
def test_with_tls_and_a_login(smtp_sandbox: Sandbox) -> None:
    assert send_code("ann@example.com").ok
    assert smtp_sandbox.assert_sent(count=1).session.user == "app"
