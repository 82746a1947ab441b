"""Installer of the project into ``.venv``; ``prepare`` in lib.sh calls it when the stamp is missing or stale.

Standard library only, because it runs before anything is installed.  Three problems are handled:

* two scripts at once: a lock on pyproject.toml, which the kernel releases with the process;
* an interrupted installation: the file ``unfinished`` in .venv; the next run starts from nothing;
* a project directory that has been moved: the stamp has the path; .venv is made again, because its scripts have the
  old path.

A .venv that is a link belongs to another directory, whose scripts may be running from it: it is used, and never made
again.
"""

from __future__ import annotations

import fcntl
import importlib.util
import subprocess
import sys
import time
import venv
from pathlib import Path


class Hindrance(Exception):
    """Reason why the installation is impossible, with a remedy."""


def main(root: Path, extras: str, stamp: str) -> None:
    with (root / "pyproject.toml").open("rb") as project:
        try:
            fcntl.flock(project, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another script is installing; waiting for it")
            fcntl.flock(project, fcntl.LOCK_EX)
        environment = root / ".venv"
        stamp_file = environment / f"stamp-{extras}"
        if stamp_file.exists() and stamp_file.read_text().strip() == stamp:
            return
        started = time.monotonic()
        if unusable(environment, stamp):
            make(environment)
        unfinished = environment / "unfinished"
        unfinished.touch()
        install(root, environment, extras)
        stamp_file.write_text(stamp + "\n")
        unfinished.unlink()
        say(f"installed in {time.monotonic() - started:.0f} s; later starts need no installation")


def say(text: str) -> None:
    print(f"posthouse: {text}", file=sys.stderr, flush=True)


def unusable(environment: Path, stamp: str) -> bool:
    """True if the environment is missing, incomplete, moved, or its Python is gone."""
    python = environment / "bin" / "python"
    if not python.exists() or (environment / "unfinished").exists():
        return True
    if environment.is_symlink():  # of another directory, whose path its stamps have
        return False
    path = stamp.split(" ", 2)[2]
    if any(other.read_text().strip().split(" ", 2)[2:] != [path] for other in environment.glob("stamp-*")):
        return True
    probe = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode != 0


def make(environment: Path) -> None:
    if environment.is_symlink():
        raise Hindrance(
            f"{environment} is a link to {environment.resolve()}, which is not complete; run the scripts there first, "
            "or remove the link"
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if importlib.util.find_spec("ensurepip") is None:
        raise Hindrance(
            f"this Python {version} comes without its ensurepip module, so it cannot make a virtual environment; "
            f"on Debian and Ubuntu: apt-get install python3-venv"
        )
    say(f"creating {environment} with Python {version}")
    try:
        venv.create(environment, clear=True, symlinks=True, with_pip=True)
    except subprocess.CalledProcessError as error:
        output = (error.output or b"").decode(errors="replace").strip()
        raise Hindrance(
            f"the virtual environment {environment} could not be created: {output or error}; "
            f"on Debian and Ubuntu: apt-get install python3-venv"
        ) from error
    except OSError as error:
        raise Hindrance(f"{environment} could not be created: {error}; is the project's directory writable?") from error


def install(root: Path, environment: Path, extras: str) -> None:
    say(f"installing posthouse[{extras}] into .venv (once; about 1 minute on a slow network)")
    log = environment / "install.log"
    command = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    command += ["-e", f".[{extras}]"]
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, cwd=root, check=False)
    if done.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise Hindrance(
            f"the installation failed; the end of its output:\n{last}\n"
            f"the complete output is in {log}. "
            f"If the package index could not be reached, check the network and run this again"
        )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    except Hindrance as hindrance:
        say(str(hindrance))
        sys.exit(69)
    except KeyboardInterrupt:
        say("interrupted; the next run starts again")
        sys.exit(130)
