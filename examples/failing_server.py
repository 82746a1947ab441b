"""Server that fails on demand, to see what a program makes of it: ``python examples/failing_server.py``."""

import posthouse
from posthouse.testing import Sandbox


def attempt(url: str, *recipients: str) -> None:
    message = posthouse.Message(sender="app@example.org", to=recipients, subject="Hello", text="…")
    try:
        for outcome in posthouse.send(message, via=url, timeout=20):
            print(f"{outcome.recipient.address}: {outcome.result}: {outcome.reply or outcome.reason}")
    except posthouse.PosthouseError as error:
        print(f"nobody got it: {error}")


with Sandbox() as sandbox:
    sandbox.on("rcpt", to="full@*").reply("452 4.2.2 Mailbox is full")
    sandbox.on("rcpt", to="slow@*").delay(0.1)
    sandbox.on("rcpt", to="lost@*").drop(after="data")
    attempt(sandbox.url, "full@example.com", "slow@example.com")
    attempt(sandbox.url, "lost@example.com")
    sandbox.on("connect").reply("421 Too busy").fail_times(1)
    attempt(sandbox.url, "ann@example.com")
    attempt(sandbox.url, "ann@example.com")
    print(f"{len(sandbox.messages)} messages were taken")
