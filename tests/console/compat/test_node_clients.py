"""The client libraries of Mailpit and MailHog on npm, as they are, in Node.

Those for Cypress run on a small stand-in for its commands, which does nothing but send their requests.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import PATIENCE, ServedCatcher, written

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ROOT / "build" / "npm" / "node_modules"
#: What installs them; ``.ci/run`` does.
INSTALL = (
    "npm && npm install --prefix build/npm --ignore-scripts --legacy-peer-deps "
    "mailpit-api@2.1.0 cypress-mailpit@2.0.0 cypress-mailhog@2.5.0"
)

pytestmark = [
    pytest.mark.system("nodejs", "node"),
    pytest.mark.system(INSTALL, str(PACKAGES / "mailpit-api" / "package.json")),
    pytest.mark.system(INSTALL, str(PACKAGES / "cypress-mailpit" / "package.json")),
    pytest.mark.system(INSTALL, str(PACKAGES / "cypress-mailhog" / "package.json")),
]

CYPRESS = """
const url = process.argv[2], packages = process.argv[3];
class Chain extends Promise {
  its(name) { return this.then((value) => value[name]); }
  should() { return this; }
}
const commands = {};
globalThis.Cypress = {
  env: (name) => ({ mailHogUrl: url })[name],
  config: (name) => ({ mailHogUrl: url, defaultCommandTimeout: 5000 })[name],
  expose: (name) => ({ MAILPIT_URL: url })[name],
  Commands: { add: (name, options, run) => { commands[name] = run ?? options; } },
};
globalThis.cy = {
  wrap: (value) => Chain.resolve(value),
  env: () => Chain.resolve({}),
  wait: (time) => new Chain((done) => setTimeout(done, time)),
  verifyUpcomingAssertions: (value) => Chain.resolve(value),
  request: ({ method, url, qs, body, failOnStatusCode }) => Chain.resolve((async () => {
    const target = new URL(url);
    for (const [name, value] of Object.entries(qs ?? {})) target.searchParams.set(name, value);
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const response = await fetch(target, { method, headers, body: sent });
    const text = await response.text();
    if (failOnStatusCode !== false && !response.ok) throw new Error(`${response.status}: ${text}`);
    const type = response.headers.get("content-type") ?? "";
    return { status: response.status, body: type.includes("json") ? JSON.parse(text) : text };
  })()),
};
"""


def run(tmp_path: Path, catcher: ServedCatcher, script: str) -> Any:
    """What a script prints as JSON."""
    file = tmp_path / "script.mjs"
    file.write_text(script)
    done = subprocess.run(
        ["node", str(file), catcher.url, str(PACKAGES)], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_mailpit_api(tmp_path: Path, catcher: ServedCatcher) -> None:
    first = catcher.send(written("First"), "ann@a.example")
    got = run(
        tmp_path,
        catcher,
        """
        const { MailpitClient } = await import(`${process.argv[3]}/mailpit-api/dist/index.mjs`);
        const client = new MailpitClient(process.argv[2]);
        const out = {};
        out.info = (await client.getInfo()).Messages;
        out.relay = (await client.getConfiguration()).MessageRelay.Enabled;
        out.waited = (await client.waitForMessage({ query: "subject:First" })).Subject;
        const message = await client.getMessageSummary();
        out.id = message.ID;
        out.headers = (await client.getMessageHeaders()).Subject;
        out.part = await (await client.getMessageAttachment(message.ID, message.Attachments[0].PartID)).text();
        out.source = (await client.getMessageSource()).includes("Subject: First");
        out.html = (await client.renderMessageHTML()).includes("482913");
        out.text = (await client.renderMessageText(message.ID)).trim();
        out.sent = (await client.sendMessage({
          From: { Email: "me@example.org", Name: "Me" }, To: [{ Email: "bob@a.example", Name: "" }],
          Bcc: ["hidden@a.example"], Subject: "Sent", Text: "hello", Tags: ["sent"],
          Attachments: [{ Filename: "x.txt", Content: "aGVsbG8=", ContentType: "text/plain" }],
        })).ID;
        const found = await client.waitForMessages({ query: "tag:sent", count: 1 });
        const [only] = found.messages;
        out.found = [only.ID, only.Subject, only.Bcc.map((one) => one.Address), only.Tags];
        out.tags = await client.getTags();
        await client.renameTag("sent", "gone");
        out.renamed = await client.getTags();
        await client.deleteTag("gone");
        out.untagged = await client.getTags();
        await client.setTags({ IDs: [message.ID], Tags: ["kept"] });
        out.kept = (await client.searchMessages({ query: "tag:kept" })).messages_count;
        await client.setReadStatus({ Read: true });
        out.unread = (await client.listMessages()).unread;
        await client.setReadStatus({ Search: "subject:Sent", Read: false });
        out.again = (await client.listMessages()).unread;
        out.chaos = await client.setChaosTriggers({ Sender: { ErrorCode: 451, Probability: 5 } });
        out.off = (await client.setChaosTriggers({})).Sender.Probability;
        const release = client.releaseMessage(message.ID, { To: ["x@example.com"] });
        out.refused = await release.then(() => "", (e) => e.message);
        out.wrong = await client.sendMessage({ From: {}, To: [] }).then(() => "", (e) => e.message);
        await client.deleteMessagesBySearch({ query: "subject:Sent" });
        out.left = (await client.listMessages()).messages.map((each) => each.Subject);
        await client.deleteMessages({ IDs: [message.ID] });
        out.none = (await client.listMessages()).total;
        console.log(JSON.stringify(out));
        """,
    )
    assert got["info"] == 1
    assert got["relay"] is False
    assert (got["waited"], got["id"], got["headers"]) == ("First", first, ["First"])
    assert (got["part"], got["source"]) == ("a,b\r\n1,2\r\n", True)
    assert (got["html"], got["text"]) == (True, "Your code is 482913.")
    assert got["found"] == [got["sent"], "Sent", ["hidden@a.example"], ["sent"]]
    assert (got["tags"], got["renamed"], got["untagged"], got["kept"]) == (["sent"], ["gone"], [], 1)
    assert (got["unread"], got["again"]) == (0, 1)
    assert got["chaos"]["Sender"] == {"ErrorCode": 451, "Probability": 5}
    assert got["off"] == 0
    assert "release_via" in got["refused"]
    assert "From has no address" in got["wrong"]
    assert (got["left"], got["none"]) == (["First"], 0)


def test_cypress_mailpit(tmp_path: Path, catcher: ServedCatcher) -> None:
    catcher.send(written("First"), "ann@a.example")
    commands = (PACKAGES / "cypress-mailpit" / "dist" / "src" / "MailpitCommands.js").read_text()
    (tmp_path / "commands.mjs").write_text(
        commands
    )  # the package's own file, under a name that Node takes for a module
    got = run(
        tmp_path,
        catcher,
        CYPRESS
        + """
        const { MailpitCommands } = await import("./commands.mjs");
        const client = new MailpitCommands();
        const out = {};
        const mail = await client.mailpitGetMail();
        out.subject = await client.mailpitGetSubject(mail);
        out.to = await client.mailpitGetRecipientAddress(mail);
        out.files = await client.mailpitGetAttachments(mail);
        out.html = (await client.mailpitGetMailHTMlBody(mail)).includes("482913");
        out.text = (await client.mailpitGetMailTextBody(mail)).trim();
        await client.mailpitHasEmailsBySubject("First");
        await client.mailpitSendMail();
        await client.mailpitHasEmailsByTo("jane@example.com");
        out.all = (await client.mailpitGetAllMails()).count;
        await client.mailpitSetAllEmailStatusAsRead();
        out.unread = (await client.mailpitGetAllMails()).unread;
        await client.mailpitSetStatusAsUnRead(mail);
        out.again = (await client.mailpitGetAllMails()).unread;
        await client.mailpitDeleteEmailsBySearch("to:jane@example.com");
        await client.mailpitNotHasEmailsByTo("jane@example.com");
        await client.mailpitDeleteAllEmails();
        out.none = (await client.mailpitGetAllMails()).messages;
        console.log(JSON.stringify(out));
        """,
    )
    assert got == {
        "subject": "First",
        "to": ["ann@a.example"],
        "files": ["numbers.csv"],
        "html": True,
        "text": "Your code is 482913.",
        "all": 2,
        "unread": 0,
        "again": 1,
        "none": [],
    }


def test_cypress_mailhog(tmp_path: Path, catcher: ServedCatcher) -> None:
    catcher.send(written("First"), "ann@a.example")
    catcher.send(written("Second"), "bob@a.example", sender="other@example.org")
    got = run(
        tmp_path,
        catcher,
        CYPRESS
        + """
        const { createRequire } = await import("node:module");
        createRequire(import.meta.url)(`${packages}/cypress-mailhog/index.js`);
        const out = {};
        const all = await commands.mhGetAllMails();
        out.all = all.length;
        const [first] = await commands.mhGetMailsBySubject("First");
        out.subject = await commands.mhGetSubject(first);
        out.to = await commands.mhGetRecipients(first);
        out.from = (await commands.mhGetMailsBySender("other@example.org")).length;
        out.recipient = (await commands.mhGetMailsByRecipient("bob@a.example")).length;
        out.search = (await commands.mhSearchMails("containing", "482913")).length;
        out.jim = [await commands.mhGetJimMode()];
        await commands.mhSetJimMode(true);
        out.jim.push(await commands.mhGetJimMode());
        await commands.mhSetJimMode(false);
        out.jim.push(await commands.mhGetJimMode());
        await commands.mhDeleteAll();
        out.none = (await commands.mhGetAllMails()).length;
        console.log(JSON.stringify(out));
        process.exit(0);
        """,
    )
    assert got == {
        "all": 2,
        "subject": "First",
        "to": ["ann@a.example"],
        "from": 1,
        "recipient": 1,
        "search": 2,
        "jim": [False, True, False],
        "none": 0,
    }
