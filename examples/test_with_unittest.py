"""Tests of a program that sends mail, with unittest: ``python -m unittest examples/test_with_unittest.py``."""

import os
import smtplib
import unittest

from posthouse.testing import SandboxMixin


def remind(address: str) -> None:  # stands for your program
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])) as client:
        client.sendmail("app@example.org", address, "Subject: Reminder\r\n\r\nTomorrow at 9.\r\n")


class ReminderTest(SandboxMixin, unittest.TestCase):
    def test_it_arrives(self) -> None:
        remind("ann@example.com")
        self.smtp.assert_sent(to="ann@example.com", subject="Reminder", text="at 9")

    def test_a_lost_connection_is_an_error(self) -> None:
        self.smtp.on("rcpt", to="ann@*").drop(after="data")
        with self.assertRaises(smtplib.SMTPServerDisconnected):
            remind("ann@example.com")
        self.smtp.assert_not_sent(to="ann@*")
