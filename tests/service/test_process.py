"""The process of a daemon: sockets of systemd, ports that cannot be opened, notices, and the user it becomes."""

from __future__ import annotations

import errno
import os
import pwd
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.service.whole_daemon import PATIENCE, Dialogue, until

from posthouse.cli import exit_codes
from posthouse.core import SettingError
from posthouse.net import Endpoint
from posthouse.net.certificates import KeyPair, make_self_signed
from posthouse.net.system import not_listening
from posthouse.service import ConfigError, parse
from posthouse.service.daemon.protection import read_certificates
from posthouse.service.process import ports as ports_module
from posthouse.service.process import privileges
from posthouse.service.process.activation import InheritedSocket, InheritedSockets
from posthouse.service.process.notify import ServiceManager
from posthouse.service.process.ports import Ports

MX = '[[listener]]\nbind = "127.0.0.1:0"\nname = "mx"\n'
SINA = '[[domain]]\nname = "sina.com"\nmailboxes = "any"\n'


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for each in sockets:
        each.close()


def listening(opened: list[socket.socket], place: str = "127.0.0.1") -> tuple[socket.socket, Endpoint]:
    if place.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(place)
        at = Endpoint(place)
    else:
        sock = socket.create_server((place, 0), family=socket.AF_INET6 if ":" in place else socket.AF_INET)
        at = Endpoint(*sock.getsockname()[:2])
    sock.listen()
    opened.append(sock)
    return sock, at


# Sockets of systemd ---------------------------------------------------------------------------------------------------

STARTED = """\
import os, sys
sys.path.insert(0, os.environ["HERE"])
first, names, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names.split(":"))), LISTEN_FDNAMES=names)
for number in range(len(names.split(":"))):
    os.dup2(first + number, 3 + number)
os.execv(command[0], command)
"""


def activated(
    home: Path, settings: str, sockets: list[socket.socket], names: str, workers: int = 1
) -> subprocess.Popen[bytes]:
    """A daemon that is started as systemd would, with the sockets from descriptor 3 on."""
    (home / "posthouse.toml").write_text(
        f'hostname = "daemon.test"\ndata_dir = "{home}/data"\nworkers = {workers}\n{settings}'
    )
    first = max(map(int, os.listdir("/dev/fd"))) + 10  # none of these is open here
    for number, each in enumerate(sockets):
        os.dup2(each.fileno(), first + number)
    command = [sys.executable, "-m", "posthouse", "run", "--config", str(home / "posthouse.toml")]
    try:
        with (home / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", STARTED, str(first), names, *command],
                stdout=log,
                stderr=log,
                pass_fds=range(first, first + len(sockets)),
                env={**os.environ, "HERE": str(home)},
            )
    finally:
        for number in range(len(sockets)):
            os.close(first + number)


@pytest.mark.parametrize("workers", [1, 2])
def test_sockets_of_systemd_are_matched_by_address_and_by_name_whatever_their_order(
    opened: list[socket.socket], tmp_path: Path, workers: int
) -> None:
    by_name, named = listening(opened)
    by_address, at = listening(opened)
    path = str(tmp_path / "lmtp.sock")
    by_path, _ = listening(opened, path)
    settings = (
        f'[[listener]]\nbind = "{at}"\nname = "first"\nbanner = "first"\n'
        '[[listener]]\nbind = "127.0.0.1:25"\nname = "second"\nbanner = "second"\n'
        f'[[listener]]\nbind = "unix:{path}"\nname = "third"\nkind = "lmtp"\nbanner = "third"\n{SINA}'
    )
    process = activated(tmp_path, settings, [by_name, by_path, by_address], "second:other:other", workers)
    try:
        for place, banner in ((at.port, "first"), (named.port, "second"), (path, "third")):
            for _ in range(3):
                with Dialogue(place) as session:
                    assert session.greeting.endswith(banner)
                    assert session.ask("LHLO me" if place == path else "EHLO me").startswith("250")
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    assert os.path.exists(path)  # systemd listens there still


def test_a_socket_that_no_listener_has_is_named(opened: list[socket.socket], tmp_path: Path) -> None:
    sock, at = listening(opened)
    process = activated(tmp_path, MX + SINA, [sock], "submission")
    assert process.wait(PATIENCE) == 78
    log = (tmp_path / "log").read_text()
    assert f'systemd gave sockets that no [[listener]] has: {at} ("submission"); write their address' in log
    assert "Traceback" not in log


def test_two_sockets_with_one_name_are_not_guessed_between(opened: list[socket.socket]) -> None:
    first, second = (InheritedSocket("mx", at, sock) for sock, at in (listening(opened), listening(opened)))
    (listener,) = parse(MX).listener
    with pytest.raises(SettingError, match=r'several sockets with the name "mx", at .* and '):
        InheritedSockets([first, second]).of(listener)


def test_a_socket_for_both_families_is_not_taken_for_ipv6_alone(opened: list[socket.socket]) -> None:
    sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    opened.append(sock)
    port = sock.getsockname()[1]
    config = parse(f'[[listener]]\nbind = "[::]:{port}"\n[[listener]]\nbind = "0.0.0.0:{port}"\n')
    ports = Ports(inherited=InheritedSockets([InheritedSocket("", Endpoint("::", port), sock)]))
    with pytest.raises(SettingError, match=r"takes IPv4 as well; .*BindIPv6Only=ipv6-only"):
        ports.open(config)
    assert ports.sockets == [{}]


def test_variables_for_another_process_are_not_believed_and_none_is_handed_on() -> None:
    environ = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}
    InheritedSockets.of_this_process(environ).see_that_all_are_used(())
    assert environ == {}


def test_a_descriptor_that_is_no_listening_socket_is_refused(opened: list[socket.socket]) -> None:
    pair = socket.socketpair()
    opened.extend(pair)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "smtp.socket"}
    with pytest.raises(SettingError, match=r"\(smtp.socket\) that systemd gave is no listening stream socket"):
        InheritedSockets.of_this_process(environ, first=pair[0].fileno())
    with open(os.devnull) as file:
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        with pytest.raises(SettingError, match="is no socket; write ListenStream="):
            InheritedSockets.of_this_process(environ, first=file.fileno())


# Ports ---------------------------------------------------------------------------------------------------------------


def test_where_ipv6_is_off_the_other_listeners_serve_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ports_module.listening_socket

    def without_ipv6(endpoint: Endpoint, backlog: int, reuse_port: bool) -> socket.socket:
        if ":" in endpoint.host:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return real(endpoint, backlog, reuse_port)

    monkeypatch.setattr(ports_module, "listening_socket", without_ipv6)
    monkeypatch.setattr(ports_module, "_ipv6_is_off", lambda: True)
    warnings: list[str] = []
    ports = Ports(warn=warnings.append)
    six = '[[listener]]\nbind = "[::]:0"\nname = "six"\n'
    config = ports.open(parse(MX + six + '[[listener]]\nbind = "localhost:0"\nname = "own"\n'))
    try:
        assert [each.name for each in config.listener] == ["mx", "own"]
        assert [each.bind.host for each in config.listener] == ["127.0.0.1", "127.0.0.1"]
        (warning,) = warnings
        assert warning == "[::]:0 is left out, because IPv6 is off on this machine; the other listeners serve"
    finally:
        ports.close()
    with pytest.raises(SettingError, match=r"\[::\]:0: this is not an address of this machine"):
        Ports().open(parse(six))
    monkeypatch.setattr(ports_module, "_ipv6_is_off", lambda: False)
    with pytest.raises(SettingError, match="not an address of this machine"):
        Ports().open(parse(MX + six))


def test_where_a_sysctl_has_ipv6_off_the_wildcard_is_left_out_although_it_can_be_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports_module, "_ipv6_is_off", lambda: True)
    warnings: list[str] = []
    ports = Ports(warn=warnings.append)
    six = '[[listener]]\nbind = "[::]:0"\nname = "six"\n'
    config = ports.open(parse(MX + six))
    try:
        assert [each.name for each in config.listener] == ["mx"]
        assert len(warnings) == 1
    finally:
        ports.close()
    with pytest.raises(SettingError, match=r"\[::\]:0: this is not an address of this machine"):
        Ports().open(parse(six))


def test_a_port_below_1024_that_is_not_permitted_names_every_way_out() -> None:
    said = str(not_listening(PermissionError(errno.EACCES, "x"), Endpoint("0.0.0.0", 25)))
    for way in ("from 1024 on", "-p 25:2525", "CAP_NET_BIND_SERVICE", "`user`", "socket activation"):
        assert way in said
    assert "1024" not in str(not_listening(PermissionError(errno.EACCES, "x"), Endpoint("/run/x.sock")))


# Notices to the service manager --------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_service_manager_is_told_of_start_reload_and_end(tmp_path: Path, workers: int, abstract: bool) -> None:
    name = f"@posthouse-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name[1:]}" if abstract else name)
        manager.settimeout(PATIENCE)

        def told() -> str:
            while (text := manager.recv(4096).decode()) == "WATCHDOG=1\n":
                pass
            return text

        (tmp_path / "posthouse.toml").write_text(
            f'data_dir = "{tmp_path}/data"\nhostname = "daemon.test"\nworkers = {workers}\n{MX}{SINA}'
        )
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "posthouse", "run", "--config", str(tmp_path / "posthouse.toml")],
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": name, "WATCHDOG_USEC": "600000"},
            )
        try:
            assert told() == "READY=1\n"
            while manager.recv(4096) != b"WATCHDOG=1\n":
                pass
            before = time.monotonic_ns() // 1000
            process.send_signal(1)
            first, second, _ = told().split("\n")
            assert first == "RELOADING=1"
            assert second.startswith("MONOTONIC_USEC=")
            assert before <= int(second.partition("=")[2]) <= time.monotonic_ns() // 1000
            assert told() == "READY=1\n"
            process.terminate()
            assert told() == "STOPPING=1\n"
            assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait(PATIENCE)


def test_a_service_manager_that_does_not_listen_stops_nothing(tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "nothing"), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    manager = ServiceManager(environ)
    manager.ready()
    assert manager.watchdog == 0.0  # it is for another process
    assert environ == {}  # no child may speak for the daemon


# The user ------------------------------------------------------------------------------------------------------------


def test_a_group_without_a_user_and_a_user_without_a_data_dir_are_errors() -> None:
    with pytest.raises(ConfigError, match="group: there is a group without a user; write user as well"):
        parse(f'group = "mail"\n{MX}')
    with pytest.raises(ConfigError, match="data_dir: a daemon with a user needs a data_dir"):
        parse(f'user = "nobody"\n{MX}')
    with pytest.raises(ConfigError, match='"no body" is no name of a user'):
        parse(f'user = "no body"\n{MX}')


def test_a_user_or_group_that_does_not_exist_is_named() -> None:
    with pytest.raises(SettingError, match="there is no user posthouse-nobody on this machine"):
        privileges.identity_of("posthouse-nobody", "")
    with pytest.raises(SettingError, match="there is no group posthouse-nobody on this machine"):
        privileges.identity_of("nobody", "posthouse-nobody")


def test_the_user_that_the_process_is_already_needs_nothing() -> None:
    assert privileges.identity_of(str(os.geteuid()), "") is None
    assert privileges.identity_of("", "") is None


def test_a_process_without_privileges_cannot_become_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(SettingError, match=r"this process runs as uid 12345 and may not become nobody \(uid [0-9]+\)"):
        privileges.identity_of("nobody", "")


def test_root_without_the_capability_is_told_which_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(groups: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "setgroups", refused)
    identity = privileges.Identity("nobody", 65_534, 65_534, (65_534,), "/")
    with pytest.raises(SettingError, match=r"may not become nobody \(uid 65534\): it lacks CAP_SETUID or CAP_SETGID"):
        privileges.become(identity)


# Python itself may lie where only root reads (a home directory), so the script imports everything beforehand.
AS_NOBODY = """\
import importlib, pkgutil, sys
import posthouse, encodings.idna, encodings.utf_8_sig, asyncio, multiprocessing, uuid
for each in pkgutil.walk_packages(posthouse.__path__, "posthouse."):
    if not each.name.endswith("__main__"):
        importlib.import_module(each.name)
from posthouse.service.process import privileges
from posthouse.cli import main
from posthouse.cli.context import run
privileges._unreadable_program = lambda: ""
try:
    import uvloop
except ImportError:
    pass
import cryptography.hazmat.primitives.asymmetric.dsa, cryptography.hazmat.primitives.asymmetric.rsa
sys.argv = ["posthouse", *sys.argv[1:]]
sys.exit(main())
"""

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that another user may enter, as pytest's own is closed."""
    with tempfile.TemporaryDirectory(prefix="posthouse-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def as_nobody(place: Path, settings: str, *, user: str = "nobody", workers: int = 1) -> subprocess.Popen[bytes]:
    (place / "posthouse.toml").write_text(
        f'hostname = "daemon.test"\ndata_dir = "{place}/data"\nworkers = {workers}\nuser = "{user}"\n{settings}'
    )
    with (place / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", AS_NOBODY, "run", "--config", str(place / "posthouse.toml")],
            stdout=log,
            stderr=log,
            cwd="/",
        )


def up(place: Path, process: subprocess.Popen[bytes]) -> str:
    """The log, once the daemon has said that it is up."""

    def said() -> str:
        text = (place / "log").read_text()
        assert process.poll() is None, text
        return text if "mail is kept in" in text else ""

    text = until(said)
    assert isinstance(text, str)
    return text


def ids(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: text.split() for name, _, text in (line.partition(":") for line in lines)}


@AS_ROOT
@pytest.mark.parametrize("workers", [1, 2])
def test_ports_and_keys_are_opened_as_root_and_everything_after_belongs_to_the_user(place: Path, workers: int) -> None:
    (place / "keys").mkdir(mode=0o700)
    pair, _ = make_self_signed(["daemon.test"], place / "keys", time.time())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = (
        f'[[listener]]\nbind = "127.0.0.1:{port}"\nname = "mx"\ntls = "starttls"\ntls_cert = "{pair.certificate}"\n'
    )
    process = as_nobody(place, settings + SINA, workers=workers)
    try:
        up(place, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in [process.pid, *map(int, children if workers > 1 else [])]:
            found = ids(pid)
            assert set(found["Uid"]) == {"65534"}
            assert "0" not in [*found["Gid"], *found["Groups"]]
            assert int(found["CapEff"][0], 16) == 0
        with Dialogue(port) as session:
            assert "STARTTLS" in session.ask("EHLO me")
            assert session.ask("MAIL FROM:<a@far.test>").startswith("250")
            assert session.ask("RCPT TO:<b@sina.com>").startswith("250")
            assert session.ask("DATA").startswith("354")
            assert session.ask("Subject: x\r\n\r\n" + "x" * 70_000 + "\r\n.").startswith("250")
            assert session.ask("STARTTLS").startswith("220")
        # A renewed key that the user cannot read: the old pair serves on, and the log says why.
        log = until(lambda: text if "may not look at the files" in (text := (place / "log").read_text()) else "")
        assert f"{pair.certificate}: this user may not look at the files" in log
        for folder, folders, files in os.walk(place / "data"):
            for name in [*folders, *files, "."]:
                status = os.lstat(os.path.join(folder, name))
                assert status.st_uid == 65_534, (folder, name)
                assert not status.st_mode & 0o077, (folder, name)
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0, (place / "log").read_text()
    assert "Traceback" not in (place / "log").read_text()


def said_to_nobody(pair: KeyPair) -> str:
    """What a process of another user is told about files of a certificate."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(65_534, 65_534, 65_534)
            os.setresuid(65_534, 65_534, 65_534)
            read_certificates([pair], "")
        except SettingError as error:
            os.write(write, f"{exit_codes.of(error)} {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@AS_ROOT
def test_the_folder_or_file_that_keeps_the_user_out_is_named(place: Path) -> None:
    live = place / "letsencrypt" / "live" / "mx"
    live.mkdir(parents=True)
    pair, _ = make_self_signed(["mx.example.net"], live, time.time())
    os.chmod(live, 0o755)
    who = re.escape(f"user {pwd.getpwuid(65_534).pw_name} (uid 65534)")
    assert re.search(f"^77 .*cannot be read .*; let {who} read it", said_to_nobody(pair))
    os.chmod(live.parent, 0o700)
    assert re.search(f"^77 .*let {who} enter the folder {live.parent} .*it lacks x", said_to_nobody(pair))


@AS_ROOT
def test_a_data_dir_of_another_user_is_refused_with_the_remedy(place: Path) -> None:
    (place / "data" / "spool").mkdir(parents=True, mode=0o700)
    process = as_nobody(place, MX + SINA)
    assert process.wait(PATIENCE) == 78
    said = (place / "log").read_text()
    assert f"{place}/data belongs to root (uid 0), and the daemon is to run as nobody (uid 65534)" in said
    assert f"chown -R nobody {place}/data" in said
    os.chown(place / "data", 65_534, 65_534)
    process = as_nobody(place, MX + SINA)
    assert process.wait(PATIENCE) == 78
    assert f"{place}/data/spool belongs to root" in (place / "log").read_text()


@AS_ROOT
def test_a_command_of_root_leaves_no_file_that_the_daemon_cannot_open(place: Path) -> None:
    process = as_nobody(place, MX + SINA)
    try:
        up(place, process)
    finally:
        process.terminate()
        process.wait(PATIENCE)
    config = str(place / "posthouse.toml")
    for words, text in (
        (["queue", "hold", "--all", "--yes"], ""),
        (["user", "add", "ann", "--password-file", "-"], "a long password that nobody guesses\n"),
        (["inbox", "list"], ""),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "posthouse", *words, "--config", config],
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    for folder, folders, files in os.walk(place / "data"):
        for name in [*folders, *files]:
            status = os.lstat(os.path.join(folder, name))
            assert status.st_uid == 65_534, (folder, name)
            assert not status.st_mode & 0o077, (folder, name)
    (place / "log").unlink()
    process = as_nobody(place, MX + SINA)
    try:
        up(place, process)
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
