"""The pytest plugin: tests of other projects, run by pytest itself, with this plugin and beside others."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import _pytest.pytester
import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
#: The plugin by its module, whether it is installed or not.
OURS = ("-p", "no:posthouse", "-p", "posthouse.testing.pytest_plugin", "-p", "no:cacheprovider")
SEND = """
import os, smtplib
def send(*to, subject="Hello", text="Your code is 471102."):
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"]), timeout=60) as client:
        client.sendmail("app@example.org", to, f"Subject: {subject}\\r\\n\\r\\n{text}\\r\\n")
"""


@pytest.fixture(autouse=True)
def modules_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that are imported while pytest runs in this process stay, but for those of the run itself.  They would be
    forgotten, and the next import would make their classes a second time beside those that others hold."""
    snapshot = _pytest.pytester.SysModulesSnapshot

    def kept(preserve: object = None) -> object:
        return snapshot(preserve=lambda name: not name.startswith(("test_", "conftest")))

    monkeypatch.setattr(_pytest.pytester, "SysModulesSnapshot", kept)


def run(pytester: pytest.Pytester, test: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(SEND + test)
    return pytester.runpytest_inprocess(*OURS, *arguments)


def run_apart(pytester: pytest.Pytester, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=pytester.path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_test_finds_what_the_program_has_sent(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_code(smtp_sandbox):
    send("ann@example.com", subject="Your code")
    assert smtp_sandbox.wait_for(to="ann@example.com", subject="Your code").code == "471102"
    assert os.environ["POSTHOUSE_URL"] == smtp_sandbox.url
    global before
    before = smtp_sandbox.port

def test_the_next_has_a_sandbox_of_its_own(smtp_sandbox):
    assert smtp_sandbox.messages == ()

def test_the_environment_is_as_before():
    assert "SMTP_HOST" not in os.environ
    assert os.environ["SMTP_PORT"] == "25"
    assert "EMAIL_USE_TLS" not in os.environ
""",
        "--strict-markers",
        "-Werror",
    )
    result.assert_outcomes(passed=3)


@pytest.fixture(autouse=True)
def _settings_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTHOUSE_URL", "SMTP_HOST", "EMAIL_USE_TLS", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SMTP_PORT", "25")


def test_options_come_by_marker_and_by_parameter(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import ssl, pytest
pytestmark = pytest.mark.smtp_sandbox(auth="required", tls="implicit")

@pytest.mark.smtp_sandbox(tls="starttls", users={"ann": "secret"})
def test_marker(smtp_sandbox):
    assert os.environ["SMTP_USER"] == os.environ["EMAIL_HOST_USER"] == "ann"
    assert os.environ["SMTP_PASSWORD"] == "secret"
    assert os.environ["EMAIL_USE_TLS"] == "true"
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"]), timeout=60) as client:
        client.starttls(context=ssl.create_default_context())  # SSL_CERT_FILE has the certificate
        client.login(os.environ["SMTP_USER"], os.environ["SMTP_PASSWORD"])
        client.sendmail("a@example.org", "b@example.com", "Subject: x\\r\\n\\r\\n")
    assert smtp_sandbox.assert_sent().session.user == "ann"

@pytest.mark.parametrize("smtp_sandbox", [{"tls": "off"}, {}], indirect=True)
def test_parameter(smtp_sandbox):
    assert smtp_sandbox.tls in ("off", "implicit")
    assert os.environ["EMAIL_USE_SSL"] == ("true" if smtp_sandbox.tls == "implicit" else "false")
    assert ("SSL_CERT_FILE" in os.environ) is (smtp_sandbox.tls == "implicit")

@pytest.mark.smtp_sandbox(color="red")
def test_wrong_option(smtp_sandbox):
    pass

@pytest.mark.smtp_sandbox("starttls")
def test_no_name(smtp_sandbox):
    pass
""",
        "--strict-markers",
    )
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(["*the sandbox of test_wrong_option has an option that is not known: *'color'*"])
    result.stdout.fnmatch_lines(["*the marker smtp_sandbox takes options with names, as in*"])


def test_the_dialogues_are_in_the_report_of_a_test_that_fails(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import pytest
def test_passes(smtp_sandbox):
    send("quiet@example.com")

def test_fails(smtp_sandbox):
    send("ann@example.com")
    smtp_sandbox.assert_sent(to="bob@example.com")

@pytest.fixture
def broken(smtp_sandbox):
    yield
    send("eve@example.com")
    raise ValueError

def test_fails_at_its_end(broken):
    pass

def test_without():
    assert False
""",
    )
    result.assert_outcomes(passed=2, failed=2, errors=1)
    text = result.stdout.str()
    assert text.count("-- smtp_sandbox --") == 2
    result.stdout.fnmatch_lines(
        [
            "*NotSent: No message was sent with to='bob@example.com'.",
            "E *1. to ann@example.com, subject 'Hello'",
            "E *to='bob@example.com': it is ann@example.com",
            "*-- smtp_sandbox --*",
            "C: rcpt TO:<ann@example.com>",
            "S: 250 2.0.0 Caught",
        ]
    )
    assert "quiet@" not in text
    assert "TO:<eve@example.com>" in text
    assert "def assert_sent" not in text, "the traceback ends in the test"


CASES = (
    SEND
    + """
import asyncio, threading, unittest
import aiosmtplib, pytest
from posthouse.testing import SandboxMixin

async def asend(to):
    content = "Subject: x\\r\\n\\r\\n"
    host, port = os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])
    await aiosmtplib.send(content, sender="a@example.org", recipients=[to], hostname=host, port=port, timeout=60)

@pytest.mark.parametrize("number", range(4))
def test_function(smtp_sandbox, number):
    thread = threading.Thread(target=send, args=(f"{number}@example.com",))
    thread.start()
    smtp_sandbox.wait_for(to=f"{number}@example.com", timeout=60)
    thread.join()
    smtp_sandbox.expect_none(within=0)

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_coroutine(smtp_sandbox):
    await asend("ann@example.com")
    await smtp_sandbox.await_for(to="ann@*", timeout=60)

class TestClass:
    def test_method(self, smtp_sandbox):
        asyncio.run(asend("ann@example.com"))
        smtp_sandbox.assert_sent(count=1)

class Case(SandboxMixin, unittest.TestCase):
    sandbox_options = {"tls": "off"}
    def setUp(self):
        super().setUp()
        self.smtp.on("rcpt", to="eve@*").reply(550)
    def test_sends(self):
        send("ann@example.com")
        self.smtp.assert_sent(to="ann@*", count=1)
    def test_fails(self):
        send("ann@example.com")
        self.smtp.assert_sent(to="bob@example.com")
    def test_skips(self):
        self.skipTest("no reason")

class AsyncCase(SandboxMixin, unittest.IsolatedAsyncioTestCase):
    async def test_sends(self):
        await asend("ann@example.com")
        await self.smtp.await_for(to="ann@*", timeout=60)
    async def test_fails(self):
        await asend("ann@example.com")
        self.smtp.assert_sent(to="bob@example.com")

class Marked(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _sandbox(self, smtp_sandbox):
        self.smtp = smtp_sandbox
    def test_sends(self):
        send("ann@example.com")
        self.smtp.assert_sent(count=1)
"""
)


def test_beside_xdist_and_anyio_and_in_classes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_all=CASES)
    done = run_apart(pytester, *OURS, "-n", "2", "-p", "no:hypothesispytest")
    assert "2 failed, 9 passed, 1 skipped" in done.stdout.splitlines()[-1], done.stdout
    for name in ("Case.test_fails", "AsyncCase.test_fails"):
        assert f"_ {name} _" in done.stdout
    assert len(re.findall(r"^E +The dialogues with the sandbox:$", done.stdout, re.MULTILINE)) == 2
    assert "TO:<ann@example.com>" in done.stdout


def test_in_unittest_without_pytest(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_all=CASES)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "unittest", "test_all.Case", "test_all.AsyncCase"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == "FAILED (failures=2, skipped=1)", done.stderr
    assert done.stderr.count("The dialogues with the sandbox:\nsession 1:\nS: 220 ") == 2


@pytest.fixture
def installed(pytester: pytest.Pytester) -> dict[str, str]:
    """An environment in which the plugin is installed: the entry point of pyproject.toml, and its module."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"]["pytest11"]
    assert set(points) == {"posthouse"}
    folder = pytester.mkdir("installed") / "posthouse_as_installed-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: posthouse-as-installed\nVersion: 1\n")
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (folder / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    source = str(Path(importlib.import_module("posthouse").__file__ or "").parents[1])
    return {"PYTHONPATH": os.pathsep.join([str(folder.parent), source])}


def test_nothing_of_ours_is_imported_until_a_test_asks_for_the_fixture(
    pytester: pytest.Pytester, installed: dict[str, str]
) -> None:
    pytester.makepyfile(
        """
import sys
def ours():
    return sorted(name for name in sys.modules if name.partition(".")[0] == "posthouse")
def test_before(request):
    assert ours() == ["posthouse", "posthouse.testing", "posthouse.testing.pytest_plugin"]
    assert "asyncio" not in sys.modules and "ssl" not in sys.modules
    assert not request.config.pluginmanager.has_plugin("posthouse-transcripts")
def test_with(smtp_sandbox):
    assert "posthouse.sandbox" in ours()
"""
    )
    others = ("anyio", "xdist", "hypothesispytest", "schemathesis", "mailpit")  # plug-ins that import much
    without = [word for name in others for word in ("-p", f"no:{name}")]
    done = run_apart(pytester, *without, **installed)
    assert " 2 passed" in done.stdout, done.stdout
    assert "plugins: " not in done.stdout or "posthouse" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment"), [(["-p", "no:posthouse"], {}), ([], {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})]
)
def test_it_can_be_left_out(
    pytester: pytest.Pytester, installed: dict[str, str], arguments: list[str], environment: dict[str, str]
) -> None:
    pytester.makepyfile("def test_it(smtp_sandbox): pass\ndef test_other(): pass")
    done = run_apart(pytester, *arguments, **installed, **environment)
    assert "fixture 'smtp_sandbox' not found" in done.stdout
    assert "1 passed, 1 error" in done.stdout


def test_django_and_flask_send_to_the_sandbox(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import flask, pytest
from django.conf import settings
settings.configure(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend")
from django.core.mail import send_mail

def test_django(smtp_sandbox):
    assert send_mail("Hi", "text", "a@example.org", ["b@example.com"]) == 1
    smtp_sandbox.assert_sent(to="b@example.com", subject="Hi", count=1)

@pytest.mark.smtp_sandbox(tls="starttls", auth="required")
def test_django_with_tls_and_a_login(smtp_sandbox):
    send_mail("Hi", "text", "a@example.org", ["b@example.com"])
    session = smtp_sandbox.assert_sent(count=1).session
    assert session.tls and session.user == smtp_sandbox.username

def test_django_is_as_before():
    assert "locmem" in settings.EMAIL_BACKEND
    assert (settings.EMAIL_HOST, settings.EMAIL_PORT) == ("localhost", 25)

application = flask.Flask("mail")

@pytest.fixture
def context():
    with application.app_context():
        yield

def test_flask(context, smtp_sandbox):
    assert application.config["MAIL_PORT"] == smtp_sandbox.port
    fresh = flask.Flask("fresh")
    fresh.config.from_prefixed_env()
    assert (fresh.config["MAIL_PORT"], fresh.config["MAIL_USE_TLS"]) == (smtp_sandbox.port, False)

def test_flask_is_as_before():
    assert "MAIL_PORT" not in application.config
"""
    )
    done = run_apart(pytester, *OURS, "-p", "no:anyio", "-p", "no:xdist", "-p", "no:hypothesispytest")
    assert " 5 passed" in done.stdout, done.stdout


def test_a_failure_that_nothing_looked_at_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import pytest, posthouse

def send_by_library():
    return posthouse.send(posthouse.Message(sender="a@b.example", to="x@y.example", text="hi"))

@pytest.fixture
def refusing(smtp_sandbox):
    smtp_sandbox.on("rcpt").reply(550)
    return smtp_sandbox

def test_dropped(refusing):
    send_by_library()

def test_seen(refusing):
    assert not send_by_library().ok

def test_expected(refusing):
    with pytest.warns(posthouse.UnseenFailureWarning):
        send_by_library()

@pytest.mark.filterwarnings("ignore::posthouse.UnseenFailureWarning")
def test_meant(refusing):
    send_by_library()

def test_other_warnings_go_their_way(refusing):
    import warnings
    warnings.warn("something else", UserWarning)

def test_failed_anyway(refusing):
    send_by_library()
    assert False
""",
        "-Wdefault",
    )
    result.assert_outcomes(passed=5, failed=1, errors=1, warnings=1)
    result.stdout.fnmatch_lines(["*1 of 1 recipients did not get a message, and nothing looked at the result*"])
