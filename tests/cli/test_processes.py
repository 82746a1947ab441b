"""The command line as people run it: real processes, real sockets on loopback, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from posthouse.cli.output import width_of

from .children import PATIENCE, POSTHOUSE, Child, environment, finished, running

TRACE = ["Return-Path", "Received", "Received"]


def config(home: Path) -> str:
    """A configuration that catches everything, on any free port."""
    file = home / "posthouse.toml"
    file.write_text(
        f'hostname = "mx.sina.com"\ndata_dir = "{home / "data"}"\n[[listener]]\nbind = "127.0.0.1:0"\n'
        '[[domain]]\nname = "*"\ndeliver = "mailbox"\nmailboxes = "any"\n'
    )
    return str(file)


def place(child: Child) -> str:
    """Where a child listens, once it says so."""
    match = re.search(r"127\.0\.0\.1:[0-9]+", child.line_with("listening on"))
    assert match is not None
    return match[0]


# The demonstration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "word"), [("en", "responsible for it"), ("zh", "由接收SMTP 负责")])
def test_the_demo_shows_and_explains_everything(tmp_path: Path, lang: str, word: str) -> None:
    done = finished(tmp_path, "demo", "--once", LANG="zh_CN.UTF-8" if lang == "zh" else "C.UTF-8")
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    assert out.count("\nR: 220 ") == 2
    assert out.count("\nR: 221 ") == 2
    assert "S: MAIL FROM:<langrui@sohu.com>" in out
    assert "S: DATA" in out
    assert "S: BDAT" in out
    assert out.count("\nReceived: from ") == 2
    assert "\nReturn-Path: <langrui@sohu.com>" in out
    assert "第一封信" in out
    assert " ".join(out.split()).count(word) == 2
    assert "\x1b" not in out
    assert list(tmp_path.iterdir()) == []


def test_the_demo_as_json(tmp_path: Path) -> None:
    done = finished(tmp_path, "demo", "--once", "--json", "--lang", "zh")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["mailbox"] == "renping@sina.com"
    assert [each["name"] for each in found["dialogues"]] == ["a mail program → sohu.com", "sohu.com → sina.com"]
    for dialogue in found["dialogues"]:
        codes = [line["text"][:3] for line in dialogue["lines"] if line["who"] == "R"]
        assert (codes[0], codes[-1]) == ("220", "221")
        assert all(line["explanation"] for line in dialogue["lines"])
    headers = [each["name"] for each in found["message"]["headers"]]
    assert headers[:3] == TRACE
    assert headers.count("Received") == 2
    assert found["message"]["raw"].startswith("Return-Path: <langrui@sohu.com>\r\nReceived: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lang", "title", "setting"), [("en", "Wrong order", "needs:"), ("zh", "命令顺序错误", "所需设置")]
)
def test_the_demo_brings_about_the_classic_codes(tmp_path: Path, lang: str, title: str, setting: str) -> None:
    done = finished(tmp_path, "demo", "--codes", "--lang", lang)
    assert (done.returncode, done.stderr) == (0, "")
    headings = re.findall(r"── ([2-5][0-9]{2})  ", done.stdout)
    assert len(headings) == 21
    for code in headings:
        assert re.search(rf"\nR: {code}[ -]", done.stdout)
    assert title in done.stdout
    assert setting in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_classic_codes_as_json(tmp_path: Path) -> None:
    done = finished(tmp_path, "demo", "--codes", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert len(found) == 21
    for each in found:
        assert each["lines"][-1]["text"].startswith(str(each["code"]))
        assert each["lines"][-1]["explanation"]
        assert each["title"]
        assert each["why"]


def test_the_demo_runs_until_a_signal_and_takes_more_messages(tmp_path: Path) -> None:
    with running(tmp_path, "demo") as child:
        command = child.line_with("--from renping@sina.com").split()[1:]
        read = child.line_with("inbox list --data-dir").split()[1:]
        done = finished(tmp_path, *[word.strip("'") for word in command])
        assert (done.returncode, done.stderr) == (0, "")
        child.line_with("── sina.com → sohu.com ──")
        end = time.monotonic() + PATIENCE
        while not (listed := json.loads(finished(tmp_path, *read, "--json").stdout)):
            assert time.monotonic() < end, "the message never arrived"
        child.tell(signal.SIGTERM)
        assert child.ended() == 0
        assert child.err == []
    assert [(each["inbox"], each["subject"]) for each in listed] == [("langrui@sohu.com", "hello")]
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "demo") as child:
        child.line_with("run until you press Ctrl-C")
        child.tell(signal.SIGINT)
        assert child.ended() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("tempfile", "mkdtemp"),
        ("posthouse.spool.sqlite.storage.schema", "create"),
        ("posthouse.service.daemon.daemon", "Daemon.start"),
        ("posthouse.service.demo", "Demo.send"),
        ("posthouse.service.demo", "Demo.close"),
    ],
)
def test_a_demo_that_is_interrupted_early_leaves_nothing(tmp_path: Path, module: str, function: str) -> None:
    """The interrupt comes when a function is called."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "interrupted.py").write_text(
        "import functools, importlib, os, signal, sys\n"
        "from posthouse.cli import main\n"
        f"module, path = {module!r}, {function!r}\n"
        "owner = importlib.import_module(module)\n"
        "*outer, name = path.split('.')\n"
        "for each in outer:\n"
        "    owner = getattr(owner, each)\n"
        "wrapped, times = getattr(owner, name), []\n"
        "def interrupting(*given, **named):\n"
        "    if not times:\n"
        "        times.append(1)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return wrapped(*given, **named)\n"
        "setattr(owner, name, interrupting)\n"
        "sys.exit(main(['demo', '--once']))\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, str(code / "interrupted.py")],
        capture_output=True,
        timeout=PATIENCE,
        env=environment(home),
    )
    assert done.returncode in (0, 130), done.stderr
    assert b"Traceback" not in done.stderr
    assert b"not empty" not in done.stderr
    assert list(home.iterdir()) == []


# The daemon ----------------------------------------------------------------------------------------------------------


def test_run_send_read_and_end(tmp_path: Path) -> None:
    text = tmp_path / "message.txt"
    text.write_bytes("任平：\n你好！\n.\n".encode())
    attached = tmp_path / "图.png"
    attached.write_bytes(bytes(range(256)))
    file = config(tmp_path)
    with running(tmp_path, "run", "--config", file, "--log", "json") as child:
        server = f"smtp://{place(child)}"
        done = finished(
            tmp_path,
            *("send", "--server", server, "--from", "朗瑞 <langrui@sohu.com>", "--to", "renping@sina.com"),
            *("--to", "other@sina.com", "--bcc", "hidden@sina.com", "--subject", "你好", "--text-file", str(text)),
            *("--attach", str(attached), "--header", "X-Note: hello", "--transcript"),
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split(":")[0] for line in done.stdout.splitlines() if ": accepted: 250 2.0.0" in line] == [
            "renping@sina.com",
            "other@sina.com",
            "hidden@sina.com",
        ]
        assert "S: MAIL FROM:<langrui@sohu.com>" in done.stdout
        for _ in range(3):
            assert json.loads(child.line_with('"event":"delivered"'))["destination"] == "sina.com"

        listed = json.loads(finished(tmp_path, "inbox", "list", "--config", file, "--json").stdout)
        assert [each["inbox"] for each in listed] == ["renping@sina.com", "other@sina.com", "hidden@sina.com"]
        assert {each["subject"] for each in listed} == {"你好"}
        plain = finished(tmp_path, "inbox", "list", "renping@sina.com", "--config", file).stdout.splitlines()
        assert len(plain) == 2
        assert plain[0].split() == ["NO", "INBOX", "RECEIVED", "SIZE", "FROM", "SUBJECT"]

        shown = finished(tmp_path, "inbox", "show", "1", "--config", file).stdout
        assert shown.startswith("From: 朗瑞 <langrui@sohu.com>\nTo: renping@sina.com, other@sina.com\nDate: ")
        assert "\n任平：\n你好！\n.\n" in shown
        assert "图.png  image/png  256 " in shown
        shown = finished(tmp_path, "inbox", "show", "1", "--config", file, "--raw").stdout.replace("\r\n", "\n")
        assert shown.startswith("Return-Path: <langrui@sohu.com>\nReceived: from ")
        assert "X-Note: hello" in shown
        assert "hidden@" not in shown
        assert json.loads(finished(tmp_path, "queue", "list", "--config", file, "--json").stdout) == []

        deleted = finished(tmp_path, "inbox", "delete", "1", "2", "3", "99", "--config", file)
        assert (deleted.returncode, deleted.stdout) == (0, "3 deleted, 1 not found\n")
        gone = finished(tmp_path, "inbox", "show", "1", "--config", file)
        assert (gone.returncode, gone.stdout) == (65, "")

        child.tell(signal.SIGTERM)
        assert child.ended() == 0
        events = [json.loads(line)["event"] for line in child.err]
        assert events.count("draining") == events.count("ended") > 0  # each worker tells
        assert events[-1] == "ended"


def test_a_ready_message_is_sent_as_it_is(tmp_path: Path) -> None:
    file = config(tmp_path)
    ready = b"Subject: ready\r\n\r\n.dots\r\n..\r\nlast\r\n"
    with running(tmp_path, "run", "--config", file) as child:
        send = ["send", "--server", place(child), "--from", "<>", "--to", "renping@sina.com", "--raw", "-"]
        done = finished(tmp_path, *send, stdin=ready)
        assert (done.returncode, done.stderr) == (0, "")
        done = finished(tmp_path, *send, stdin=ready.replace(b"\r\n", b"\n"))
        assert done.returncode == 0
        assert done.stderr == "line ends were changed to CRLF, as SMTP requires\n"
        for number in ("1", "2"):
            child.line_with("delivered")
            shown = finished(tmp_path, "inbox", "show", number, "--config", file, "--json")
            assert json.loads(shown.stdout)["text"].encode().endswith(b"\r\n" + ready)
            assert json.loads(shown.stdout)["sender"] == ""


def test_draining_finishes_a_transaction_and_says_421(tmp_path: Path) -> None:
    with running(tmp_path, "run", "--config", config(tmp_path)) as child:
        host, _, port = place(child).partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as sock, sock.makefile("rb") as replies:
            sock.sendall(b"EHLO me\r\nMAIL FROM:<a@b.org>\r\nRCPT TO:<renping@sina.com>\r\nDATA\r\n")
            while not (line := replies.readline()).startswith(b"354"):
                assert line, "the connection ended too early"
            child.tell(signal.SIGTERM)
            child.line_with("draining")
            sock.sendall(b"Subject: late\r\n\r\nIn time.\r\n.\r\n")
            assert replies.readline().startswith(b"250 ")
            assert replies.readline().startswith(b"421 ")
            assert replies.readline() == b""
        assert child.ended() == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running(tmp_path, "run", "--config", config(tmp_path)) as child:
        host, _, port = place(child).partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as sock, sock.makefile("rb") as replies:
            sock.sendall(b"EHLO me\r\nMAIL FROM:<a@b.org>\r\n")
            while not (line := replies.readline()).startswith(b"250 2.1.0"):
                assert line, "the connection ended too early"
            child.tell(signal.SIGTERM)
            child.line_with("draining")
            child.tell(signal.SIGTERM)
            assert child.ended() == 128 + signal.SIGTERM


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "posthouse.toml"
        file.write_text(f'data_dir = "{tmp_path / "data"}"\n[[listener]]\nbind = "127.0.0.1:{port}"\n')
        done = finished(tmp_path, "run", "--config", str(file))
    assert done.returncode == 69
    assert f"127.0.0.1:{port}: another program already listens there" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_configuration(tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text('hostnam = "x.org"\n')
    done = finished(tmp_path, "run", "--config", str(file))
    assert done.returncode == 78
    assert "hostname" in done.stderr


# Sink and bench ------------------------------------------------------------------------------------------------------


def test_bench_against_sink(tmp_path: Path) -> None:
    with running(tmp_path, "sink", "--bind", "127.0.0.1:0", "--json", "--messages", "50") as child:
        server = f"smtp://{place(child)}"
        done = finished(tmp_path, "bench", "--server", server, "--messages", "50", "--connections", "4", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        found = json.loads(done.stdout)
        assert (found["messages"], found["delivered"], found["errors"]) == (50, 50, {})
        assert 0 < found["latency"]["p50"] <= found["latency"]["p99"] <= found["latency"]["max"]
        assert child.ended() == 0  # it had its fifty
        counted = json.loads("\n".join(child.out))
    assert (counted["messages"], counted["recipients"], counted["connections"]) == (50, 50, 4)
    assert counted["octets"] == 50 * 4096


def test_bench_against_a_sink_that_fails(tmp_path: Path) -> None:
    with running(tmp_path, "sink", "--bind", "127.0.0.1:0", "--lmtp", "--fail", "end:552", "--json") as child:
        server = f"lmtp://{place(child)}"
        done = finished(tmp_path, "bench", "--server", server, "--messages", "5", "--new-connection")
        assert done.returncode == 75
        assert "0 of 5 messages" in done.stdout
        assert "5 × 552 5.0.0 Refused on demand" in done.stdout
        send = ["send", "--server", server, "--from", "a@b.org", "--to", "c@d.org", "--text", "x"]
        sent = finished(tmp_path, *send, "--json")
        assert sent.returncode == 69
        assert json.loads(sent.stdout)["outcomes"][0]["result"] == "failed"
        child.tell(signal.SIGINT)
        assert child.ended() == 0
        assert json.loads("\n".join(child.out))["refused"] == 6


def test_some_put_off(tmp_path: Path) -> None:
    with running(tmp_path, "sink", "--bind", "127.0.0.1:0", "--fail", "data:451") as child:
        server = place(child)
        done = finished(tmp_path, "send", "--server", server, "--from", "a@b.org", "--to", "c@d.org", "--text", "x")
        assert done.returncode == 75
        assert done.stdout.startswith("c@d.org: deferred: 451 4.0.0 Refused on demand")


# Where the output goes -----------------------------------------------------------------------------------------------


def test_the_text_may_be_piped_into_the_command(tmp_path: Path) -> None:
    file = config(tmp_path)
    with running(tmp_path, "run", "--config", file) as child:
        send = ["send", "--server", place(child), "--from", "a@b.org", "--to", "renping@sina.com"]
        done = finished(tmp_path, *send, stdin="你好\n第二行\n".encode())
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("renping@sina.com: accepted: 250 2.0.0")
        child.line_with("delivered")
        shown = json.loads(finished(tmp_path, "inbox", "show", "1", "--config", file, "--json").stdout)
        assert shown["body"] == "你好\n第二行"
        for given in (b"", b" \n"):
            done = finished(tmp_path, *send, stdin=given)
            assert (done.returncode, done.stdout) == (64, "")
            assert "the message is empty; say what to write: --text TEXT" in done.stderr
        done = finished(tmp_path, *send, stdin=b"\xff")
        assert (done.returncode, done.stdout) == (65, "")
        assert "standard input is not UTF-8" in done.stderr


def test_on_a_terminal_nothing_is_waited_for_without_a_text(tmp_path: Path) -> None:
    said = on_a_terminal(tmp_path, "send", "--from", "a@b.org", "--to", "c@d.org", code=64)
    assert "say what to write: --text TEXT" in said


def on_a_terminal(home: Path, *arguments: str, columns: int = 100, code: int = 0) -> str:
    """What a command shows on a terminal."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    variables = {**environment(home), "TERM": "xterm-256color", "COLUMNS": str(columns)}
    variables.pop("NO_COLOR", None)
    child = subprocess.Popen([*POSTHOUSE, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:  # how Linux tells that the other end has closed
        pass
    finally:
        os.close(ours)
    assert child.wait(PATIENCE) == code, shown
    return shown.decode()


def test_on_a_terminal_there_are_colours(tmp_path: Path) -> None:
    file = config(tmp_path)
    with running(tmp_path, "run", "--config", file) as child:
        server = place(child)
        sent = on_a_terminal(
            tmp_path,
            "send",
            "--server",
            server,
            "--from",
            "a@b.org",
            "--to",
            "c@d.org",
            "--subject",
            "任平",
            "--text",
            "hello",
            "--transcript",
        )
        child.line_with("delivered")
        listed = on_a_terminal(tmp_path, "inbox", "list", "--config", file)
        empty = on_a_terminal(tmp_path, "queue", "list", "--config", file)
    assert "\x1b[32mS: MAIL FROM:<a@b.org>" in sent
    assert "\x1b[36mR: 250" in sent
    assert "\x1b[32mc@d.org: accepted" in sent
    assert "任平" in listed
    assert "\x1b[1m" in listed
    assert "The queue is empty." in empty
    assert "\x1b[1;36m550" in on_a_terminal(tmp_path, "explain", "550")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(tmp_path, "demo", "--once", columns=70))
    said = [line for line in plain.split("── The message")[0].splitlines() if line.startswith(("S: ", "R: ", "     "))]
    assert len(said) > 60
    assert all(width_of(line) <= 70 for line in said)


def test_a_reader_who_goes_away_is_no_fault(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [*POSTHOUSE, "explain", "x.x.x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path)
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    with child.stderr:
        assert child.stderr.read() == b""
    assert child.wait(PATIENCE) == 141
