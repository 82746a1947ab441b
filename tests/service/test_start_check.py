"""``check config`` ends with 78 for whatever keeps the daemon from starting, and what only may do so is advice."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from tests.service.whole_daemon import PATIENCE, WholeDaemon

from posthouse.cli import exit_codes
from posthouse.cli.check import _code
from posthouse.client.auth import LoginSettings
from posthouse.net.certificates import Certificates, make_self_signed
from posthouse.service import Daemon, parse
from posthouse.service.config.advice import surroundings
from posthouse.service.config_file import table_of
from posthouse.service.daemon import generation
from posthouse.service.daemon.start_check import StartCheck
from posthouse.service.operations.registry import OPERATIONS
from posthouse.service.operations.setup import start_problems

MX = '[[listener]]\nbind = "127.0.0.1:0"\nname = "mx"\n'
SUBMISSION = MX + 'kind = "submission"\n'
SINA = '[[domain]]\nname = "sina.com"\nmailboxes = "any"\n'
ROUTE = MX + SINA + '[[route]]\nto = "*"\nvia = "smtps://h.test"\n'
NOT = "; as it is, the daemon would not start."
#: Imported where they are needed, which another user may not be able to do.
BEFOREHAND = (LoginSettings, dsa, ec, rsa)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
#: Modules of accounts, by name.
MODULES = {
    "raising": 'raise RuntimeError("no directory")',
    "leaving": "import sys\nsys.exit(3)",
    "dying": 'print("x")\nimport os\nos._exit(0)',
    "talking": """\
import sys
print("hello")
sys.stderr.write("hello")
class Store:
    def check_password(self, user, password):
        return True
""",
    "idle": "import time\ntime.sleep(600)",
    "handlers": """\
NUMBER = 7
def generator(envelope, content):
    yield
async def agen(envelope, content):
    yield
def one(envelope): pass
def three(envelope, content, more): pass
async def named(*, envelope, content): pass
class Needs:
    def __init__(self, place): pass
    def __call__(self, envelope, content): pass
class OneOnly:
    def __call__(self, envelope): pass
one_only = OneOnly()
def good(envelope, content, *, more=1): pass
def whatever(*given): pass
""",
    "stores": """\
class Yields:
    def check_password(self, user, password):
        yield True
class Short:
    async def check_password(self, user):
        return True
class Needs:
    def __init__(self, place): pass
    def check_password(self, user, password): pass
class Owners:
    def check_password(self, user, password): pass
    def identities(self): pass
""",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the modules, where this process and its children find them."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")
    return folder


def checked(home: Path, settings: str) -> Any:
    file = home / "check.toml"
    file.write_text(f'hostname = "daemon.test"\ndata_dir = "{home}/data"\n{settings}')
    return asyncio.run(OPERATIONS["check config"].run(None, path=str(file)))


def end_of(home: Path, settings: str, *, workers: int = 1) -> tuple[int, str]:
    """The exit code of ``posthouse run``, and its output."""
    daemon = WholeDaemon(home, settings, workers=workers)
    try:
        return daemon.process.wait(PATIENCE), daemon.text()
    finally:
        daemon.end()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        pytest.param(
            f'accounts = "python:nowhere:x"\n{SUBMISSION}',
            "accounts: nowhere:x cannot be loaded (ModuleNotFoundError: No module named 'nowhere'); correct the name, "
            "or put its directory into PYTHONPATH where posthouse is started",
            id="no module",
        ),
        pytest.param(
            f'accounts = "python:raising:x"\n{SUBMISSION}',
            "accounts: raising:x cannot be loaded (RuntimeError: no directory); write module:object of a module that "
            "the daemon can import",
            id="a module that raises",
        ),
        pytest.param(
            f'accounts = "python:talking:x"\n{SUBMISSION}',
            "accounts: talking:x cannot be loaded (AttributeError: module 'talking' has no attribute 'x'); write "
            "module:object of a module that the daemon can import",
            id="no object",
        ),
        pytest.param(
            f'accounts = "python:leaving:x"\n{SUBMISSION}',
            "accounts: leaving:x cannot be loaded (SystemExit: 3); write module:object of a module that the daemon can "
            "import",
            id="a module that exits",
        ),
        pytest.param(
            f'user = "posthouse-nobody"\n{MX}',
            "user: there is no user posthouse-nobody on this machine; create it (useradd --system posthouse-nobody), "
            "or name another",
            id="no user",
        ),
        pytest.param(
            f'user = "{os.geteuid()}"\ngroup = "posthouse-nobody"\n{MX}',
            "group: there is no group posthouse-nobody on this machine; create it (groupadd --system "
            "posthouse-nobody), or name another",
            id="no group",
        ),
        pytest.param(
            ROUTE + 'user = "u"\npassword_file = "/nowhere/p"\n',
            "route *: password_file /nowhere/p: the file cannot be read (No such file or directory); correct the path, "
            "or write the file",
            id="no password file",
        ),
        pytest.param(
            ROUTE + 'ca = "/nowhere/ca.pem"\n',
            "route *: /nowhere/ca.pem: it cannot be read (No such file or directory); write the path of a PEM file",
            id="no certificates of a route",
        ),
        pytest.param(
            ROUTE + 'ca = "/etc/passwd"\n',
            "route *: /etc/passwd: this file does not hold certificates to trust; write the path of a PEM file",
            id="other certificates of a route",
        ),
    ],
)
def test_what_keeps_the_daemon_from_starting_is_an_error_of_the_configuration(
    tmp_path: Path, modules: Path, settings: str, problem: str
) -> None:
    """Check and run end with one code and tell one cause and remedy."""
    report = checked(tmp_path, settings)
    assert report.problems == [problem + NOT]
    assert _code(report) == 78
    assert not any("accounts:" in each or "route " in each for each in report.advice)
    code, said = end_of(tmp_path, settings)
    assert code == 78
    assert problem.removeprefix("accounts: ").removeprefix("route *: ") in said
    assert "Traceback" not in said


def python_domain(target: str) -> str:
    return f'{MX}{SINA}deliver = "python:{target}"\n'


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("nowhere:x", 'there is no module "nowhere"'),
        ("raising:x", 'the module "raising" fails while it is imported: RuntimeError: no directory'),
        ("leaving:x", 'the module "leaving" fails while it is imported: SystemExit: 3'),
        ("handlers:x", 'the module "handlers" has no "x"'),
        ("handlers:NUMBER", '"NUMBER" of "handlers" cannot be called'),
        ("handlers:Needs", '"Needs" of "handlers" is a class'),
        ("handlers:generator", '"generator" of "handlers" is a generator function'),
        ("handlers:agen", '"agen" of "handlers" is a generator function'),
        (
            "handlers:one",
            '"one" of "handlers" cannot be called with (envelope, content): too many positional arguments',
        ),
        ("handlers:three", '"three" of "handlers" cannot be called with (envelope, content): missing a required'),
        ("handlers:named", '"named" of "handlers" cannot be called with (envelope, content): too many positional'),
        ("handlers:one_only", '"one_only" of "handlers" cannot be called with (envelope, content): too many'),
    ],
)
def test_what_cannot_be_a_handler_keeps_the_daemon_from_starting(
    tmp_path: Path, modules: Path, target: str, problem: str
) -> None:
    """Its mail would be accepted and deferred for ever."""
    report = checked(tmp_path, python_domain(target))
    (told,) = report.problems
    assert told.startswith(f'deliver = "python:{target}": {problem}')
    assert told.endswith(NOT)
    assert _code(report) == 78
    assert not any("no module" in each for each in report.advice)
    code, said = end_of(tmp_path, python_domain(target))
    assert code == 78, said
    assert told.removesuffix(NOT) in said
    assert "Traceback" not in said


def test_with_several_workers_what_cannot_be_a_handler_keeps_the_daemon_from_starting(
    tmp_path: Path, modules: Path
) -> None:
    code, said = end_of(tmp_path, python_domain("handlers:one"), workers=2)
    assert code == 78, said
    assert '"one" of "handlers" cannot be called with (envelope, content)' in said


@pytest.mark.parametrize("target", ["handlers:good", "handlers:whatever"])
def test_what_can_be_a_handler_is_nothing_to_tell(tmp_path: Path, modules: Path, target: str) -> None:
    report = checked(tmp_path, python_domain(target))
    assert report.usable, report.problems
    assert not any("deliver" in each for each in report.advice)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("stores:Yields", "stores:Yields.check_password is a generator function"),
        ("stores:Short", "stores:Short.check_password cannot be called with (user, password): too many"),
        ("stores:Needs", "stores:Needs cannot be loaded (TypeError"),
        ("stores:Owners", "stores:Owners.identities cannot be called with (user): too many"),
    ],
)
def test_accounts_that_cannot_answer_keep_the_daemon_from_starting(
    tmp_path: Path, modules: Path, target: str, problem: str
) -> None:
    """Each login would be answered 454."""
    settings = f'accounts = "python:{target}"\n{SUBMISSION}{SINA}'
    (told,) = checked(tmp_path, settings).problems
    assert told.startswith(f"accounts: {problem}")
    code, said = end_of(tmp_path, settings)
    assert code == 78, said
    assert problem in said


def test_a_handler_whose_import_ends_the_process_is_named(
    tmp_path: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = checked(tmp_path, python_domain("dying:x"))
    assert report.problems == [f"deliver: importing dying:x ends the process{NOT}"]
    monkeypatch.setattr(start_problems, "_SECONDS", 1.0)
    report = checked(tmp_path, python_domain("idle:x"))
    assert report.usable
    assert "deliver: idle:x has not been imported after 1 s; see what it waits for." in report.advice


def test_a_handler_whose_import_does_not_end_keeps_no_other_mail_from_starting(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    (modules / "waiting_for_a_word.py").write_text("import sys\nsys.waiting_for_a_word.wait(60)\n")
    monkeypatch.setattr(sys, "waiting_for_a_word", release, raising=False)
    monkeypatch.setattr(generation, "_IMPORT", 0.1)
    told: list[str] = []

    def log(event: str, /, **fields: object) -> None:
        told.append(f"{event} {fields.get('reason')}")

    async def scenario() -> None:
        daemon = Daemon(
            parse(f'hostname = "x.test"\ndata_dir = "{tmp_path}/data"\n{python_domain("waiting_for_a_word:x")}'),
            log=log,
        )
        await daemon.start()
        await daemon.drain(1.0)

    try:
        asyncio.run(scenario())
    finally:
        release.set()
    assert any("waiting_for_a_word:x" in each and "not been imported" in each for each in told), told


def test_a_reload_with_what_cannot_be_a_handler_changes_nothing(tmp_path: Path, modules: Path) -> None:
    daemon = WholeDaemon(tmp_path, MX + SINA)
    try:
        daemon.up()
        daemon.write(python_domain("handlers:generator"))
        done = daemon.command("reload")
        assert done.returncode == exit_codes.CONFIG, done
        assert '"generator" of "handlers" is a generator function' in done.stdout + done.stderr
        assert daemon.stop() == 0, daemon.text()
    finally:
        daemon.end()


def test_a_module_that_ends_the_process_keeps_the_daemon_from_starting(tmp_path: Path, modules: Path) -> None:
    report = checked(tmp_path, f'accounts = "python:dying:x"\n{SUBMISSION}')
    assert report.problems == [f"accounts: importing dying:x ends the process{NOT}"]


def test_a_module_that_prints_and_can_be_loaded_is_nothing_to_tell(tmp_path: Path, modules: Path) -> None:
    report = checked(tmp_path, f'accounts = "python:talking:Store"\n{SUBMISSION}{SINA}')
    assert report.usable
    assert report.advice == []


def test_a_module_that_does_not_come_to_its_end_is_advice(
    tmp_path: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_problems, "_SECONDS", 3.0)
    report = checked(tmp_path, f'accounts = "python:idle:x"\n{SUBMISSION}{SINA}')
    assert report.usable
    assert report.advice == ["accounts: idle:x has not been imported after 3 s; see what it waits for."]


def test_the_process_of_the_check_ends_by_itself(
    tmp_path: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal to a child that is ending lets asyncio warn of an unknown child, on the command's standard error."""
    signalled: list[int] = []
    kill = asyncio.subprocess.Process.kill

    def seen(process: asyncio.subprocess.Process) -> None:
        signalled.append(process.pid)
        kill(process)

    monkeypatch.setattr(asyncio.subprocess.Process, "kill", seen)
    assert checked(tmp_path, MX + SINA).usable
    assert not checked(tmp_path, f'accounts = "python:dying:x"\n{SUBMISSION}').usable
    assert signalled == []
    monkeypatch.setattr(start_problems, "_SECONDS", 1.0)
    checked(tmp_path, f'accounts = "python:idle:x"\n{SUBMISSION}{SINA}')
    assert len(signalled) == 1


def test_what_only_may_keep_the_daemon_from_starting_is_advice(
    tmp_path: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is not set here, a module that no listener needs, an address that systemd may hand over."""
    monkeypatch.delenv("POSTHOUSE_NO_SUCH", raising=False)
    text = f'accounts = "python:raising:x"\n{ROUTE}user = "u"\npassword_env = "POSTHOUSE_NO_SUCH"\n'
    report = checked(tmp_path, text.replace("127.0.0.1", "192.0.2.1"))
    assert report.usable, report.problems
    assert "route *: the environment variable POSTHOUSE_NO_SUCH is not set here." in report.advice
    assert "listener mx: 192.0.2.1 is not an address of this machine." in report.advice
    report = checked(tmp_path, f'accounts = "python:nowhere:x"\n{MX}{SINA}')
    assert report.usable
    assert any('accounts: there is no module "nowhere"' in each for each in report.advice)


def test_a_certificate_that_no_listener_shows_keeps_nothing_from_starting(tmp_path: Path) -> None:
    text = '[[certificate]]\ncert = "/nowhere.pem"\nkey = "/nowhere.pem"\n'
    assert checked(tmp_path, MX + SINA + text).usable
    assert not checked(tmp_path, MX + 'tls = "starttls"\n' + SINA + text).usable


def test_a_certificate_of_our_own_making_that_cannot_be_used_any_more(tmp_path: Path) -> None:
    pair, _ = make_self_signed(["daemon.test"], tmp_path / "data" / "tls", time.time())
    settings = f'{MX}tls = "starttls"\n{SINA}'
    assert checked(tmp_path, settings).usable
    Path(pair.certificate).write_text("nothing")
    (problem,) = checked(tmp_path, settings).problems
    assert problem.startswith(f"certificate {pair.certificate}: ")
    assert end_of(tmp_path, settings)[0] == 78


def test_a_data_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = f'hostname = "daemon.test"\ndata_dir = "{tmp_path}/file/data"\n{MX}{SINA}'
    (answer,) = StartCheck(parse(text)).answers()
    remedy = "set data_dir to a directory on a local disk that the daemon's user may write"
    assert answer == (f"data_dir: {tmp_path}/file is not a directory; {remedy}{NOT}", True)
    (tmp_path / "data").mkdir()
    os.chmod(tmp_path / "data", 0o777)
    (problem,) = checked(tmp_path, MX + SINA).problems
    assert "every user may write into this directory (mode 0777); take that right away" in problem


# As another user -----------------------------------------------------------------------------------------------------


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that another user may enter, as pytest's own is closed."""
    with tempfile.TemporaryDirectory(prefix="posthouse-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def answers_in_a_child(text: str, *, as_nobody: bool = False) -> list[tuple[str, bool]]:
    """What a process of its own answers about a configuration."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if as_nobody:
                os.setgroups([])
                os.setresgid(65_534, 65_534, 65_534)
                os.setresuid(65_534, 65_534, 65_534)
            os.write(write, json.dumps(list(StartCheck(parse(text)).answers())).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as pipe:
        said = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return [(sentence, certain) for sentence, certain in said]


@AS_ROOT
@pytest.mark.parametrize("which", ["tls_cert", "tls_key", "tls_client_ca", "ca", "password_file", "data_dir", "a file"])
def test_what_this_user_may_not_read_keeps_it_from_starting_the_daemon(place: Path, which: str) -> None:
    """Where ``user`` is another, root would start it, and may read more."""
    pair, _ = make_self_signed(["daemon.test"], place, time.time())
    Certificates([pair])
    open_to_all = place / "open.pem"
    open_to_all.write_bytes(Path(pair.certificate).read_bytes())
    os.chmod(open_to_all, 0o644)
    os.chmod(place, 0o777)
    cert = pair.certificate if which == "tls_cert" else str(open_to_all)
    key = pair.certificate if which == "tls_key" else str(open_to_all)
    listener = MX + f'tls = "starttls"\ntls_cert = "{cert}"\ntls_key = "{key}"\n'
    listener += f'tls_client_ca = "{pair.certificate}"\n' if which == "tls_client_ca" else ""
    route = '[[route]]\nto = "*"\nvia = "smtps://h.test"\n'
    route += f'ca = "{pair.certificate}"\n' if which == "ca" else ""
    route += f'user = "u"\npassword_file = "{pair.certificate}"\n' if which == "password_file" else ""
    data = place / "data"
    if which in ("data_dir", "a file"):
        data.mkdir(mode=0o700 if which == "data_dir" else 0o755)
        (data / "daemon.lock").write_text("")
        if which == "a file":
            os.chown(data, 65_534, 65_534)
            os.chmod(data / "daemon.lock", 0o600)
    text = f'hostname = "daemon.test"\ndata_dir = "{data}"\n{listener}{SINA}{route}'
    ((sentence, certain),) = answers_in_a_child(text, as_nobody=True)
    assert certain
    assert sentence.endswith("; as it is, the daemon would not start as nobody (uid 65534).")
    assert (str(data) if which in ("data_dir", "a file") else pair.certificate) in sentence
    # As the console is, where root has started it.
    ((sentence, certain),) = answers_in_a_child(f'user = "nobody"\n{text}', as_nobody=True)
    read_as_root = which.startswith("tls_")
    assert certain is not read_as_root
    assert sentence.endswith(f"would not start as nobody (uid 65534){', only as root' * read_as_root}.")
    first, (sentence, certain) = answers_in_a_child(f'user = "daemon"\n{text}', as_nobody=True)
    assert first[0].startswith("user: this process runs as nobody (uid 65534) and may not become daemon (uid ")
    assert first[0].endswith("; only a check as root can tell all that would keep the daemon from starting.")
    assert not certain
    assert not first[1]
    assert sentence.endswith("; whether the daemon's user may, only a check as root can tell.")


@AS_ROOT
def test_as_root_the_check_is_made_as_the_user_of_the_daemon(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The key is read before the process becomes the user, the password of a route behind that."""
    monkeypatch.setattr("posthouse.service.process.privileges._unreadable_program", lambda: "")
    (place / "keys").mkdir(mode=0o700)
    pair, _ = make_self_signed(["daemon.test"], place / "keys", time.time())
    Certificates([pair])
    text = (
        f'hostname = "daemon.test"\ndata_dir = "{place}/data"\nuser = "nobody"\n{MX}tls = "starttls"\n'
        f'tls_cert = "{pair.certificate}"\n{SINA}'
    )
    assert answers_in_a_child(text) == []
    route = f'[[route]]\nto = "*"\nvia = "smtps://h.test"\nuser = "u"\npassword_file = "{pair.certificate}"\n'
    ((sentence, certain),) = answers_in_a_child(text + route)
    assert certain
    assert f"route *: password_file {pair.certificate}: the file cannot be read (Permission denied)" in sentence
    assert sentence.endswith("would not start as nobody (uid 65534).")
    (place / "data").mkdir()
    ((sentence, certain),) = answers_in_a_child(text)
    assert certain
    assert f"{place}/data belongs to root (uid 0), and the daemon is to run as nobody (uid 65534)" in sentence


def test_a_port_that_is_not_permitted_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systemd may open it, or root."""
    bind = socket.socket.bind

    def refused(self: socket.socket, address: Any) -> None:
        if address[1]:
            raise PermissionError(13, "Permission denied")
        bind(self, address)

    text = MX.replace(":0", ":25") + SINA
    monkeypatch.setattr(socket.socket, "bind", refused)
    found = surroundings(parse(text), table_of(text, "x"))
    assert any("may not open port 25; start the daemon as root with user, grant it" in each for each in found)
    found = surroundings(parse(MX + SINA), table_of(MX + SINA, "x"))
    assert not any("may not open" in each for each in found)


def test_a_route_that_the_running_daemon_cannot_take_has_the_code_of_the_start(tmp_path: Path) -> None:
    daemon = WholeDaemon(tmp_path, MX + SINA)
    try:
        daemon.up()
        for setting, code in (
            ('user = "u"\npassword_env = "POSTHOUSE_NO_SUCH"', exit_codes.CONFIG),
            ('user = "u"\npassword_file = "/nowhere/p"', exit_codes.CONFIG),
            ('ca = "/nowhere/ca.pem"', exit_codes.CONFIG),
        ):
            daemon.write(f"{ROUTE}{setting}\n")
            done = daemon.command("reload")
            assert done.returncode == code, done
        assert daemon.stop() == 0, daemon.text()
    finally:
        daemon.end()
