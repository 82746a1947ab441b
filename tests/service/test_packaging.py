"""What is in ``packaging/`` does what the installation page says, as far as that can be run without installing it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from posthouse.cli import posthouse
from posthouse.service import load

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
UNITS = PACKAGING / "systemd"
PATIENCE = 60.0


def ran(*command: str, **how: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, env={**os.environ, **how}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def value(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)


def is_a_command(words: list[str]) -> bool:
    """Whether the command line takes these words, whatever they would do."""
    group, rest = posthouse, words[1:]
    while rest and (found := group.get_command(None, rest[0])) is not None:  # type: ignore[arg-type]
        rest = rest[1:]
        if not hasattr(found, "get_command"):
            found.make_context(words[0], rest, resilient_parsing=False)
            return True
        group = found  # type: ignore[assignment]
    return False


@pytest.mark.system("systemd", "systemd-analyze")
def test_the_units_are_valid_and_the_service_is_hardened(tmp_path: Path) -> None:
    for each in ("posthouse.service", "posthouse.socket"):  # the program is not installed here
        text = (UNITS / each).read_text().replace("/opt/posthouse/bin/posthouse", "/bin/true")
        (tmp_path / each).write_text(text)
    units = [str(tmp_path / each) for each in ("posthouse.service", "posthouse.socket")]
    assert "posthouse" not in ran("systemd-analyze", "verify", "--man=no", *units)
    said = ran("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", units[0])
    assert "exposure level" in said


@pytest.mark.system("systemd", "systemd-sysusers")
@pytest.mark.system("systemd", "systemd-tmpfiles")
def test_the_user_and_the_directories_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").touch()
    (tmp_path / "etc" / "group").write_text("root:x:0:\n")
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    root = f"--root={tmp_path}"
    ran("systemd-sysusers", root, str(UNITS / "posthouse.sysusers.conf"))
    (entry,) = [each for each in (tmp_path / "etc" / "passwd").read_text().splitlines() if "posthouse" in each]
    _, _, uid, _, _, home, _ = entry.split(":")
    assert home == "/var/lib/posthouse"
    (tmp_path / "etc" / "posthouse").mkdir()
    (tmp_path / "etc" / "posthouse" / "posthouse.toml").touch()
    ran("systemd-tmpfiles", "--create", root, str(UNITS / "posthouse.tmpfiles.conf"))
    state = (tmp_path / "var" / "lib" / "posthouse").stat()
    assert (state.st_mode & 0o777, state.st_uid) == (0o700, int(uid))
    assert (tmp_path / "etc" / "posthouse").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "etc" / "posthouse" / "posthouse.toml").stat().st_mode & 0o777 == 0o640


def test_what_the_service_starts_is_a_command_and_its_places_are_those_of_the_configuration() -> None:
    for key in ("ExecStart", "ExecReload"):
        (line,) = value("posthouse.service", key)
        words = shlex.split(line)
        assert is_a_command(words)
        assert words[-1] == "/etc/posthouse/posthouse.toml"
    config = load(PACKAGING / "posthouse.toml")
    assert config.data_dir == "/var/lib/posthouse"
    assert not config.user  # the service starts as the user
    assert value("posthouse.service", "StateDirectory") == ["posthouse"]
    assert set(value("posthouse.socket", "ListenStream")) == {str(each.bind) for each in config.listener}
    assert value("posthouse.socket", "BindIPv6Only") == ["ipv6-only"]  # else 0.0.0.0 and [::] are one


def test_the_container_is_built_from_what_is_there_and_runs_commands_that_exist() -> None:
    text = (PACKAGING / "Containerfile").read_text()
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    steps = [line.partition(" ")[::2] for line in lines if line]
    known = {"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD"}
    assert {name for name, _ in steps} == known
    assert steps[0][0] == "FROM"
    for name, rest in steps:
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
        elif name == "RUN":
            ran("sh", "-n", "-c", rest)
        elif name in ("CMD", "HEALTHCHECK"):
            assert is_a_command(json.loads(rest[rest.index("[") :]))
    assert dict(steps)["USER"] == "posthouse"
    assert dict(steps)["VOLUME"] == dict(steps)["WORKDIR"] == "/var/lib/posthouse"
    assert all(int(port) >= 1024 for port in dict(steps)["EXPOSE"].split())


def test_files_that_the_page_installs_are_there() -> None:
    page = (ROOT / "docs" / "installation.md").read_text()
    named = set(re.findall(r"packaging/[\w./-]+\w", page))
    assert len(named) >= 6
    assert all((ROOT / each).exists() for each in named), named
