"""Programs that start ``sendmail`` start ours: PHP, git, mutt, s-nail, and scripts as cron runs them.

The program is a link to the console script, as docs/sendmail.md says.  No daemon runs: what is looked at is the
maildrop, where the message is durable when the program has been told 0.
"""

from __future__ import annotations

import os
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest

from posthouse import ReadMessage, read
from posthouse.service.maildrop.drop_file import DropFile

PATIENCE = 60.0
SUBJECT = "你好，任平"
#: A lone dot, octets over 127, a line longer than a message may have.
BODY = "床前明月光，\n.\n..\n疑是地上霜 " + "x" * 1200 + "\n. end\n"


class Local:
    """A machine with our sendmail: programs are run in its environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.maildrop = directory / "house" / "maildrop"
        config = directory / "posthouse.toml"
        config.write_text(f'hostname = "mail.here.test"\ndata_dir = "{directory / "house"}"\n')
        entry = directory / "bin" / "sendmail"
        entry.parent.mkdir()
        entry.write_text(f"#!{sys.executable}\nfrom posthouse.__main__ import main\nmain()\n")
        entry.chmod(0o755)
        self.sendmail = str(entry)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("POSTHOUSE")},
            "POSTHOUSE_CONFIG": str(config),
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "EMAIL": "langrui@sohu.com",
        }

    def run(self, *command: str, text: str = "") -> str:
        """Run a program with this input; its output."""
        done = subprocess.run(
            command,
            input=text.encode(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=self.environment,
            cwd=self.directory,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.decode()

    def left(self) -> tuple[list[str], str, ReadMessage]:
        """The only message in the maildrop: its recipients, its sender, and what it says."""
        (path,) = self.maildrop.iterdir()
        file = DropFile(str(path))
        octets = b"".join(iter(file.read, b""))
        file.close()
        assert octets.count(b"\r\n") == octets.count(b"\n")
        assert max(map(len, octets.split(b"\r\n"))) <= 998
        assert b"bcc:" not in octets.lower()
        message = read(octets)
        assert message.date is not None
        assert message.message_id
        envelope = file.dropped.envelope
        return [str(each.address) for each in envelope.recipients], str(envelope.sender), message


@pytest.fixture
def local(tmp_path: Path) -> Local:
    return Local(tmp_path)


@pytest.mark.system("php-cli", "php")
def test_php(local: Local) -> None:
    script = """
        $headers = "From: langrui@sohu.com\\r\\nCc: liming@sina.com\\r\\nBcc: secret@sina.com\\r\\n"
            . "Content-Type: text/plain; charset=utf-8";
        $subject = "=?UTF-8?B?" . base64_encode($argv[1]) . "?=";
        exit(mail("renping@sina.com", $subject, stream_get_contents(STDIN), $headers, "-flangrui@sohu.com") ? 0 : 1);
    """
    local.run("php", "-d", f"sendmail_path={local.sendmail} -t -i", "-r", script, "--", SUBJECT, text=BODY)
    to, sender, message = local.left()
    assert to == ["renping@sina.com", "liming@sina.com", "secret@sina.com"]
    assert sender == "langrui@sohu.com"
    assert (message.subject, message.text) == (SUBJECT, BODY + "\n"), "PHP ends the message with a line end of its own"


@pytest.mark.system("libmailtools-perl", "/usr/share/perl5/Mail/Address.pm")
@pytest.mark.system("git-email", "/usr/lib/git-core/git-send-email")
def test_git_send_email(local: Local) -> None:
    git = ("git", "-c", "user.name=郎锐", "-c", "user.email=langrui@sohu.com", "-c", "init.defaultBranch=main")
    local.run(*git, "init", "-q")
    (local.directory / "poem").write_text(BODY)
    local.run(*git, "add", "poem")
    local.run(*git, "commit", "-q", "-m", SUBJECT)
    local.run(*git, "format-patch", "-q", "-1", "-o", "patches")
    (patch,) = (local.directory / "patches").iterdir()
    local.run(
        *git,
        "send-email",
        f"--smtp-server={local.sendmail}",
        "--to=renping@sina.com",
        "--bcc=secret@sina.com",
        "--envelope-sender=auto",
        "--quiet",
        "--no-validate",
        str(patch),
    )
    to, sender, message = local.left()
    assert sorted(to) == ["langrui@sohu.com", "renping@sina.com", "secret@sina.com"]
    assert sender == "langrui@sohu.com"
    assert str(message.subject).endswith(SUBJECT)
    assert "+. end" in message.text


@pytest.mark.system("mutt", "mutt")
def test_mutt(local: Local) -> None:
    settings = {"sendmail": f"{local.sendmail} -oem -oi", "use_envelope_from": "yes", "copy": "no", "charset": "utf-8"}
    lines = [f"set {name}='{value}'\n" for name, value in settings.items()]
    (local.directory / "muttrc").write_text("".join(lines) + "set from='langrui@sohu.com'\n")
    rc = str(local.directory / "muttrc")
    local.run("mutt", "-n", "-F", rc, "-s", SUBJECT, "-b", "secret@sina.com", "--", "renping@sina.com", text=BODY)
    to, sender, message = local.left()
    assert to == ["renping@sina.com", "secret@sina.com"]
    assert sender == "langrui@sohu.com"
    assert (message.subject, message.text) == (SUBJECT, BODY)


@pytest.mark.system("s-nail", "s-nail")
def test_s_nail(local: Local) -> None:
    local.run(
        "s-nail", "-:/", "-S", f"mta={local.sendmail}", "-S", "sendwait", "-r", "langrui@sohu.com",
        "-S", "ttycharset=utf-8", "-s", SUBJECT, "-b", "secret@sina.com", "renping@sina.com", text=BODY,
    )  # fmt: skip
    to, sender, message = local.left()
    assert sorted(to) == ["renping@sina.com", "secret@sina.com"]
    assert sender == "langrui@sohu.com"
    assert (message.subject, message.text) == (SUBJECT, BODY)


def test_cron(local: Local) -> None:
    """As cron of Debian starts it, with the output of a command."""
    text = "From: root (Cron Daemon)\nTo: root\nSubject: date\nContent-Type: text/plain; charset=UTF-8\n\n"
    local.run(local.sendmail, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", text=text + BODY)
    to, _, message = local.left()
    assert to == ["root@mail.here.test"]
    assert message.text == BODY
    assert message.sender is not None
    assert str(message.sender.address) == "root@mail.here.test"


def test_the_standard_library_pipes_a_message(local: Local) -> None:
    message = EmailMessage()
    message["To"], message["From"], message["Subject"] = "renping@sina.com", "langrui@sohu.com", SUBJECT
    message.set_content(BODY)
    local.run(local.sendmail, "-t", "-oi", text=message.as_string())
    to, _, received = local.left()
    assert to == ["renping@sina.com"]
    assert (received.subject, received.text) == (SUBJECT, BODY)
