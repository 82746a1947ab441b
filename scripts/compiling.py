"""Compilation of the hot modules to C extensions with mypyc, from the same files as the pure-Python build.

``[tool.posthouse] compiled`` in pyproject.toml lists the modules.  The package is copied, and the listed modules are
compiled beside their copies as one group, so that calls between them are calls in C.  The copy is what runs: nothing is
written into ``src/``, and every ``.py`` stays next to its extension, for tracebacks.  Python prefers an extension to a
``.py`` of the same name, so a copy without the extensions is pure Python again.

``scripts/compile`` makes such a copy in ``build/compiled``; ``build_hook.py`` makes one for a wheel.  A separate
process compiles, because mypyc ends its process on a faulty module and reads the working directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

GROUP = "posthouse"
"""Name of the group; its code is in one extension, ``posthouse__mypyc``, beside the package."""

#: -O1: -O3 takes 1.5 times as long to build and was as fast within 1 %, because most of the remaining time of a message
#: is spent in Python's own library.
_LEVEL = "1"

#: Functions are not offered to other libraries, so that the calls between them, 140,000 places, need no table of
#: addresses: a relayed message was delivered 6 % sooner without it, and 20 sessions relayed 2 % more.
_FLAGS = ["-fvisibility=hidden", "-fno-plt"] if sys.platform == "linux" else []

_MYPY = """\
[mypy]
# scripts/check does the strict checks; here only the types of these modules matter.
follow_imports = silent
ignore_missing_imports = True
"""


def modules(root: Path) -> list[str]:
    """The modules to compile, as paths below ``src/``, in the order in which pyproject.toml names them."""
    with (root / "pyproject.toml").open("rb") as file:
        names: list[str] = tomllib.load(file)["tool"]["posthouse"]["compiled"]
    paths = ["posthouse/" + name.replace(".", "/") + ".py" for name in names]
    for path in paths:
        if not (root / "src" / path).is_file():
            raise SystemExit(f"[tool.posthouse] compiled in pyproject.toml names {path}, and there is no src/{path}")
    return paths


def fingerprint(root: Path) -> str:
    """Checksum of everything that the build depends on: sources, list, Python version, and this file."""
    sum_ = hashlib.sha256(sys.version.encode())
    for path in [Path(__file__), root / "pyproject.toml", *sorted((root / "src").rglob("*.py"))]:
        sum_.update(f"{path.name} {path.stat().st_size}\n".encode())
        sum_.update(path.read_bytes())
    return sum_.hexdigest()


def compile_into(root: Path, out: Path) -> list[Path]:
    """Make ``out`` a copy of the package with its hot modules compiled; return the extensions, relative to ``out``.

    The old contents of ``out`` are removed.  If mypyc refuses a module, or there is no C compiler, the program ends
    with their output.
    """
    paths = modules(root)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(root / "src" / "posthouse", out / "posthouse", ignore=shutil.ignore_patterns("__pycache__"))
    (out / "mypy.ini").write_text(_MYPY)
    environment = {**os.environ, "MYPYPATH": ""}
    command = [sys.executable, os.path.abspath(__file__), "--in-this-directory", *paths]
    done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(
            "compiling failed, for the reason above (it needs a C compiler and Python's headers; on Debian: apt-get"
            " install gcc python3-dev); pure Python needs neither: leave POSTHOUSE_COMPILED unset"
        )
    for left in ("mypy.ini", "build", ".mypy_cache"):
        path = out / left
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return sorted(path.relative_to(out) for path in out.rglob("*") if path.suffix in (".so", ".pyd"))


def _here(paths: list[str]) -> None:
    """Compile ``paths`` in the working directory, each extension beside its file, on all processors."""
    from mypyc.build import mypycify
    from setuptools import setup
    from setuptools.command.build_ext import build_ext

    class Together(build_ext):
        """Compiles the C files of one extension in parallel, because one extension has nearly all of them."""

        def build_extensions(self) -> None:
            one_by_one = self.compiler.compile

            def together(sources: list[str], **settings: Any) -> list[str]:
                with ThreadPoolExecutor(os.cpu_count()) as threads:
                    made = threads.map(lambda source: one_by_one([source], **settings), sources)
                    return [file for files in made for file in files]

            self.compiler.compile = together
            self.parallel = os.cpu_count()
            super().build_extensions()

    extensions = mypycify(paths, opt_level=_LEVEL, debug_level="0", group_name=GROUP, multi_file=True)
    for extension in extensions:
        extension.extra_compile_args += _FLAGS
    command = ["-q", "build_ext", "--inplace"]
    setup(name=GROUP, ext_modules=extensions, cmdclass={"build_ext": Together}, script_args=command)


def main() -> None:
    """``compiling.py ROOT OUT``: make OUT, unless it is up to date with the sources of ROOT."""
    if sys.argv[1:2] == ["--in-this-directory"]:
        _here(sys.argv[2:])
        return
    root, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    stamp, now = out / "fingerprint", fingerprint(root)
    if stamp.is_file() and stamp.read_text() == now:
        return
    print(f"compile: {len(modules(root))} modules into {out} (about 30 s)", file=sys.stderr, flush=True)
    made = compile_into(root, out)
    stamp.write_text(now)
    print(f"compile: made {len(made)} extensions", file=sys.stderr)


if __name__ == "__main__":
    main()
