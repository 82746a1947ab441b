"""Build hook for wheels: compiles the hot modules if ``POSTHOUSE_COMPILED=1`` is set; else the wheel is pure Python.

``POSTHOUSE_COMPILED=1 pip install .`` compiles in a temporary directory (compiling.py).  The extension modules go into
the wheel beside the Python files.  An editable install is always pure, because it uses the sources.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledHook(BuildHookInterface):  # type: ignore[type-arg]
    """The hook that ``hatchling`` calls."""

    def dependencies(self) -> list[str]:
        """Requirements of compilation: the compiler, and the packages whose types the modules use."""
        if not _wanted(self.target_name):
            return []
        extras = self.metadata.core.optional_dependencies["daemon"]
        return ["mypy[mypyc]>=1.11", "setuptools>=65", *self.metadata.core.dependencies, *extras]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add the extension modules to the wheel."""
        if not _wanted(self.target_name) or version == "editable":
            return
        root = Path(self.root)
        self._out = tempfile.TemporaryDirectory(prefix="posthouse-compiled-")
        out = Path(self._out.name) / "out"
        made = _compiling(root).compile_into(root, out)
        build_data["force_include"].update({str(out / path): str(path) for path in made})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary directory."""
        if hasattr(self, "_out"):
            self._out.cleanup()


def _wanted(target: str) -> bool:
    return target == "wheel" and os.environ.get("POSTHOUSE_COMPILED", "") not in ("", "0")


def _compiling(root: Path) -> Any:
    """The module compiling.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("compiling", root / "scripts" / "compiling.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compiling"] = module
    spec.loader.exec_module(module)
    return module
