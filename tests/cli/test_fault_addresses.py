"""Recipients that fail on demand: at the catcher and the sink, and at no daemon with a configuration of its own."""

from __future__ import annotations

import json
import signal
import smtplib
from collections import Counter
from pathlib import Path

import pytest

from posthouse.service import ConfigError
from posthouse.service.config_file import default_config, parse

from .children import PATIENCE, Child, running
from .test_processes import place

MESSAGE = "Subject: x\r\n\r\nx\r\n"


def port_of(child: Child) -> int:
    return int(place(child).rpartition(":")[2])


def send(port: int, *recipients: str) -> dict[str, int] | int | str:
    """The codes of refused recipients; or the code that the message got; or "cut"."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            refused = client.sendmail("app@example.org", recipients, MESSAGE)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPDataError as error:
        return error.smtp_code
    except smtplib.SMTPServerDisconnected:
        return "cut"
    return {address: code for address, (code, _) in refused.items()}


ALL = ["tempfail+2@a.example", "permfail@a.example", "ann@a.example", "mailbox-full@a.example"]


def fails_on_demand(port: int) -> None:
    for _ in range(2):
        assert send(port, *ALL) == {ALL[0]: 451, ALL[1]: 550, ALL[3]: 552}
    assert send(port, *ALL) == {ALL[1]: 550, ALL[3]: 552}
    assert send(port, "drop@a.example") == "cut"
    assert [send(port, "ann@a.example", "drop-after-data+1@a.example") for _ in range(2)] == ["cut", {}]
    assert [send(port, "reply-452-after-data+1@a.example") for _ in range(2)] == [452, {}]
    assert send(port, "reply-554-at-data@a.example") == 554
    assert send(port, "slow+0@a.example") == {}


def test_the_catcher_fails_on_demand_and_keeps_what_it_took(tmp_path: Path) -> None:
    with running(tmp_path, "run", "--bind", "127.0.0.1:0", "--tls", "off") as child:
        fails_on_demand(port_of(child))
        kept = Counter(child.line_with(" delivered ").partition("recipient=")[2].split()[0] for _ in range(8))
        logged = "\n".join(child.err)
    assert "the recipient tempfail@ asks for it" in logged
    assert "the recipient drop-after-data@ asks for it; the connection was cut" in logged
    assert kept == {
        "ann@a.example": 4,
        "tempfail+2@a.example": 1,
        "drop-after-data+1@a.example": 1,
        "reply-452-after-data+1@a.example": 1,
        "slow+0@a.example": 1,
    }


def test_the_sink_fails_on_demand_and_counts(tmp_path: Path) -> None:
    with running(tmp_path, "sink", "--bind", "127.0.0.1:0", "--json") as child:
        fails_on_demand(port_of(child))
        child.tell(signal.SIGTERM)
        assert child.ended() == 0
        counts = json.loads("".join(child.out))
    assert counts["messages"] == 6
    assert counts["recipients"] == 8
    assert counts["dropped"] == 2
    assert counts["refused"] == 2 * 3 + 2 + 2


@pytest.mark.parametrize("command", [["run", "--tls", "off"], ["sink"]])
def test_fault_addresses_can_be_taken_away(tmp_path: Path, command: list[str]) -> None:
    with running(tmp_path, *command, "--bind", "127.0.0.1:0", "--no-fault-addresses") as child:
        assert send(port_of(child), "permfail@a.example", "drop-after-data@a.example") == {}


def test_a_daemon_with_a_configuration_knows_none() -> None:
    assert default_config().listener[0].fault_addresses
    assert not default_config(fault_addresses=False).listener[0].fault_addresses
    listener = '[[listener]]\nbind = "127.0.0.1:2525"\n'
    domain = '[[domain]]\nname = "%s"\ndeliver = "mailbox"\nmailboxes = "any"\n'
    assert not parse(listener + domain % "a.example", "it").listener[0].fault_addresses
    everything = parse(listener + "fault_addresses = true\n" + domain % "*", "it")
    assert everything.listener[0].fault_addresses
    with pytest.raises(ConfigError) as wrong:
        parse(listener + "fault_addresses = true\n" + domain % "a.example", "it")
    (problem,) = wrong.value.problems
    assert "it is for tests, and some mail would leave this machine" in str(problem)
    assert "listener[0]" in problem.where


def test_faults_are_switched_on_and_off_while_the_catcher_runs(tmp_path: Path, ran) -> None:
    with running(tmp_path, "run", "--bind", "127.0.0.1:0", "--tls", "off") as child:
        port = port_of(child)
        assert send(port, "ann@a.example", "bob@b.example") == {}
        on = ran("fault", "on", "rcpt", "--reply", "450 4.2.1 Not now", "--to", "*@b.example", "--times", "2")
        assert (on.code, on.err) == (0, "")
        assert "fault off fault-1" in on.out
        assert send(port, "ann@a.example", "bob@b.example") == {"bob@b.example": 450}
        listed = json.loads(ran("fault", "list", "--json").out)
        assert [(each["struck"], each["left"]) for each in listed["faults"]] == [(1, 1)]
        assert "450 4.2.1 Not now" in ran("fault", "list").out
        assert ran("fault", "on", "end", "--drop", "--name", "cut").code == 0
        assert send(port, "ann@a.example") == "cut"
        assert ran("fault", "off", "--all").out == "2 switched off, 0 on\n"
        assert send(port, "ann@a.example", "bob@b.example") == {}
        wrong = ran("fault", "on", "mail", "--reply", "451", "--to", "a@b.c")
        assert wrong.code != 0
        assert "no recipient is known at the stage mail yet" in wrong.err
        logged = "\n".join(child.err)
    assert "the fault fault-1 is switched on" in logged
