"""Where the maildrop is: named by a configuration, by a directory, or found in a well-known place.

A program that sends mail is often another user's, who may not read the configuration.  So the search ends at a
directory that the packaged configuration names, and at last at this user's own catcher (``posthouse run`` without a
configuration).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Final

from posthouse.core import SettingError
from posthouse.service.maildrop.form import TERMS
from posthouse.service.maildrop.maildrop import MAILDROP, Maildrop

__all__ = ["CONFIGURATION", "SHARED", "find_maildrop", "maildrop_at", "maildrop_named", "maildrop_of"]

#: The configuration and the maildrop of the packaged service.
CONFIGURATION: Final = "/etc/posthouse/posthouse.toml"
SHARED: Final = "/var/spool/posthouse"


def maildrop_of(config_file: str) -> Maildrop:
    """The maildrop of a configuration, of which only that is read.  Raises ``ConfigError``."""
    from posthouse.service.config_file import load_maildrop

    named, data_dir, hostname = load_maildrop(config_file)
    return Maildrop(named or os.path.join(data_dir, MAILDROP), made=not named, hostname=hostname)


def maildrop_at(directory: str) -> Maildrop:
    """The maildrop of a ``data_dir``, or the directory itself if it is one, as a maildrop that users share is: a daemon
    has written its terms there, or the directory has the sticky bit."""
    inside = os.path.join(directory, MAILDROP)
    if not os.path.isdir(inside) and os.path.isdir(directory):
        sticky = os.stat(directory).st_mode & stat.S_ISVTX
        if sticky or os.path.exists(os.path.join(directory, TERMS)):
            return Maildrop(directory)
    return Maildrop(inside, made=True)


def maildrop_named(directory: str) -> Maildrop:
    """``maildrop_at`` for a directory that a user has written.  Raises ``SettingError`` if it does not exist: a message
    that was left there would wait for no daemon, and nobody would know."""
    if not os.path.isdir(directory):
        remedy = "correct the path, or start the daemon once, which makes its data_dir"
        raise SettingError("there is no such directory", where=directory, remedy=remedy)
    return maildrop_at(directory)


def find_maildrop(environ: Mapping[str, str] = os.environ) -> Maildrop:
    """The maildrop where none is named: of ``$POSTHOUSE_CONFIG``, of the packaged configuration if this user may read
    it, the shared one of the package, or of this user's catcher.

    Raises ``ConfigError`` for a configuration that is wrong, ``SettingError`` if there is no home directory.
    """
    named = environ.get("POSTHOUSE_CONFIG", "")
    for path in (named, CONFIGURATION):
        if path and os.access(path, os.R_OK):
            return maildrop_of(path)
    if os.path.isdir(SHARED):
        return Maildrop(SHARED)
    if named and not os.path.exists(named):
        raise SettingError("there is no such file", where=named, remedy="correct $POSTHOUSE_CONFIG, or leave it out")
    if named:
        raise SettingError(
            "this user may not read the configuration, so the maildrop is not known",
            where=named,
            remedy=f"set `maildrop` to {SHARED}, or name the directory with --maildrop",
        )
    from posthouse.service.config.types import catcher_directory

    return Maildrop(os.path.join(catcher_directory(), MAILDROP), made=True)
