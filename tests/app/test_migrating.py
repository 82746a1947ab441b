"""The pages about migrating: both examples of each pair are run, and what arrives is compared."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from posthouse import App, Envelope, ReadMessage, Reply
from posthouse.app import ServerThread, SessionInfo

DOCS = Path(__file__).resolve().parents[2] / "docs"
NODEMAILER = "/usr/share/nodejs/nodemailer/package.json"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Arrived(NamedTuple):
    """What a server got of one message."""

    sender: str
    recipients: tuple[str, ...]
    login: str
    subject: str
    author: str
    text: str
    html: str
    files: tuple[tuple[str, bytes], ...]


def arrived(message: ReadMessage, envelope: Envelope, session: SessionInfo) -> Arrived:
    return Arrived(
        str(envelope.sender),
        tuple(str(each.address) for each in envelope.recipients),
        session.login,
        message.subject,
        str(message.sender),
        message.text.strip(),
        re.sub(r"cid:[\w.@-]+", "cid:", (message.html or "").strip()),
        tuple(sorted((each.filename, each.content) for each in message.attachments)),
    )


class Servers(NamedTuple):
    """A server in clear, one with TLS and logins, and what has arrived at both."""

    plain: ServerThread
    secured: ServerThread
    seen: list[Arrived]

    def in_place(self, text: str) -> str:
        """An example in which these servers stand in place of mail.example.org."""
        ports = {"25": self.plain.port, "587": self.secured.port}
        text = text.replace("joe:secret@mail.example.org", f"joe:secret@127.0.0.1:{ports['587']}")
        text = text.replace("smtp://mail.example.org", f"smtp://127.0.0.1:{ports['25']}")
        place = r'"mail\.example\.org"(,\s+(?:port[=:] ?)?)(25|587)\b'
        text = re.sub(place, lambda found: f'"127.0.0.1"{found[1]}{ports[found[2]]}', text)
        assert "mail.example.org" not in text
        return text


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1")
    pair.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    pair.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    seen: list[Arrived] = []
    plain = App()
    secured = App(tls=(str(folder / "cert.pem"), str(folder / "key.pem")), tls_required=True, login_required=True)
    secured.login(lambda user, password: (user, password) == ("joe", "secret"))
    for app in (plain, secured):

        @app.recipient("nobody@*")
        def nobody() -> Reply:
            return Reply(550, "5.1.1", "No such mailbox")

        @app.recipient("*@*")
        def anybody() -> None: ...

        @app.message
        def keep(message: ReadMessage, envelope: Envelope, session: SessionInfo) -> None:
            seen.append(arrived(message, envelope, session))

    with pytest.MonkeyPatch.context() as patch, plain.run_in_thread() as one, secured.run_in_thread() as other:
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        yield Servers(one, other, seen)


def pairs(page: str) -> list[tuple[str, str, str]]:
    """The pairs of examples of a page: the language of the first, and both texts."""
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(blocks) % 2 == 0
    return [(first[0], first[1], second[1]) for first, second in zip(blocks[::2], blocks[1::2], strict=True)]


def run_python(text: str) -> None:
    exec(compile(text, "an example", "exec"), {"__name__": "example"})


def run_node(text: str, folder: Path) -> None:
    program = f"const nodemailer = require('/usr/share/nodejs/nodemailer');\n(async () => {{\n{text}\n}})();\n"
    subprocess.run(["node", "-e", program], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("page", "number"),
    [
        (page, number)
        for page in ("migrating-from-smtplib.md", "migrating-from-aiosmtplib.md")
        for number in range(len(pairs(page)))
    ],
)
def test_both_examples_send_the_same(page: str, number: int, servers: Servers) -> None:
    _, before, after = pairs(page)[number]
    found = []
    for text in (before, after):
        servers.seen.clear()
        run_python(servers.in_place(text))
        found.append(sorted(servers.seen))
    assert found[0]
    assert found[1] == found[0]


@pytest.mark.system("node-nodemailer", NODEMAILER)
@pytest.mark.system("nodejs", "node")
@pytest.mark.parametrize("number", range(len(pairs("migrating-from-nodemailer.md"))))
def test_nodemailer_sends_the_same(
    number: int, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    language, before, after = pairs("migrating-from-nodemailer.md")[number]
    assert language == "js"
    servers.seen.clear()
    run_python(servers.in_place(after))
    ours = sorted(servers.seen)
    servers.seen.clear()
    run_node(servers.in_place(before), tmp_path)
    assert ours
    assert sorted(servers.seen) == ours


def test_the_page_about_aiosmtpd_has_two_receivers_that_do_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    ((_, before, after),) = pairs("migrating-from-aiosmtpd.md")
    run_python(before)
    said = capsys.readouterr().out
    assert said == "langrui@sohu.com -> ['renping@example.com']: 32 octets\n"
    run_python(after)
    assert capsys.readouterr().out == said
