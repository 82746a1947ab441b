"""Start check: what would keep the daemon of a configuration file from starting, found without starting it.

It is done in a process of its own, which takes the steps of a start in their order: what only root may read, then the
user of the daemon, then the files of routes and the modules of ``deliver`` and ``accounts``.  These are code of the
operator's own: it runs as the user as whom the daemon would run it, and whatever it does ends with this process.
Nothing is made, written or opened for others; addresses are left out, because the daemon that runs has them, or systemd
hands them over.

An answer is a line of JSON: a sentence, and whether the daemon certainly would not start.  In front of an import stands
a line with its setting and module, so that one which ends the process, or never ends, can be named.  It is not certain
where ``user`` names somebody whom this process may not become: root may then read what this user may not.  Nor is it
for a certificate where this process is that user already, as the console is: a daemon that root starts reads it as
root.  The last line is ``null``; where it is missing, the module has ended the process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import TextIO

from msgspec.structs import replace

from posthouse.core import SettingError
from posthouse.delivery.python import load_handler
from posthouse.net.certificates import Certificates, KeyPair
from posthouse.net.tls_context import client_context
from posthouse.service.accounts import load_accounts
from posthouse.service.config.model import Config
from posthouse.service.config_file import load
from posthouse.service.daemon.protection import self_signed_file
from posthouse.service.daemon.route_security import check_route
from posthouse.service.policy.listener_policy import login_setting
from posthouse.service.process.privileges import (
    Identity,
    become,
    files_at_start,
    identity_of,
    named_identity,
    refuse_foreign_files,
    user_and_number,
)
from posthouse.spool.sqlite.storage.data_dir import refuse_open_to_all

__all__ = ["StartCheck", "main"]


class StartCheck:
    """The check of one configuration; ``answers`` takes it through a start, once.

    ``imports`` is called with a setting and its ``module:object`` before that is imported.
    """

    def __init__(self, config: Config, imports: Callable[[str, str], object] = lambda setting, target: None) -> None:
        self._config = config
        self._imports = imports  # told the setting and the module:object that is imported next
        self._identity: Identity | None = None  # whom the process becomes
        self._certain = True

    def answers(self) -> Iterator[tuple[str, bool]]:
        """Each sentence, and whether the daemon certainly would not start.  This process becomes the daemon's user."""
        yield from self._user()
        yield from self._data_dir()
        yield from self._certificates()
        if self._identity is not None:
            try:
                become(self._identity)
            except SettingError as error:
                yield self._answer("", error)
                return  # the rest is for that user to read
        yield from self._own_certificate()
        yield from self._routes()
        yield from self._handlers()
        yield from self._accounts()

    def _answer(self, place: str, error: SettingError) -> tuple[str, bool]:
        """The answer about an error."""
        sentence = f"{place} {error}" if place else str(error)
        if not isinstance(error.__cause__, PermissionError):
            return f"{sentence}; as it is, the daemon would not start.", True
        if not self._certain:
            return f"{sentence}; whether the daemon's user may, only a check as root can tell.", False
        return f"{sentence}; as it is, the daemon would not start as {user_and_number(os.geteuid())}.", True

    def _answer_as_root(self, place: str, error: SettingError) -> tuple[str, bool]:
        """The answer about a file that root reads, if root starts the daemon."""
        sentence, certain = self._answer(place, error)
        if certain and self._config.user and os.geteuid() and isinstance(error.__cause__, PermissionError):
            return f"{sentence.removesuffix('.')}, only as root.", False
        return sentence, certain

    def _user(self) -> Iterator[tuple[str, bool]]:
        config = self._config
        if not config.user:
            return
        try:
            named_identity(config.user, config.group)
        except SettingError as error:
            yield self._answer("", error)
            return
        try:
            self._identity = identity_of(config.user, config.group)
        except SettingError as error:
            self._certain = False
            yield f"{error}; only a check as root can tell all that would keep the daemon from starting.", False

    def _data_dir(self) -> Iterator[tuple[str, bool]]:
        path = os.path.abspath(self._config.data_dir)
        existing = path
        while not os.path.lexists(existing) and os.path.dirname(existing) != existing:
            existing = os.path.dirname(existing)
        remedy = "set data_dir to a directory on a local disk that the daemon's user may write"
        try:
            if not os.path.isdir(existing):
                raise SettingError(f"{existing} is not a directory", where="data_dir", remedy=remedy)
            if existing == path:
                refuse_open_to_all(path)
            if self._identity is not None:
                refuse_foreign_files(path, self._identity)
                return
            for each in files_at_start(path) if existing == path else [existing]:
                right = os.R_OK | os.W_OK | (os.X_OK if os.path.isdir(each) else 0)
                if os.path.exists(each) and not os.access(each, right):
                    who = user_and_number(os.geteuid())
                    denied = f"{each} cannot be read and written by {who}"
                    raise SettingError(denied, where="data_dir", remedy=remedy) from PermissionError()
        except SettingError as error:
            yield self._answer("", error)

    def _certificates(self) -> Iterator[tuple[str, bool]]:
        config = self._config
        listeners = [each for each in config.listener if each.tls != "off"]
        pairs = [KeyPair(each.tls_cert, each.tls_key) for each in listeners if each.tls_cert]
        pairs += [KeyPair(each.cert, each.key) for each in config.certificate if listeners]
        for pair in dict.fromkeys(pairs):
            yield from self._certificate(pair, named=True)
        for path in dict.fromkeys(each.tls_client_ca for each in listeners if each.tls_client_ca):
            try:
                client_context(ca=path)
            except SettingError as error:
                yield self._answer_as_root("certificate", error)

    def _own_certificate(self) -> Iterator[tuple[str, bool]]:
        """The certificate of our own making, if there is one and a listener shows it."""
        config, path = self._config, self_signed_file(self._config)
        shown = any(each.tls != "off" and not each.tls_cert for each in config.listener) and not config.certificate
        if shown and os.path.exists(path):
            yield from self._certificate(KeyPair(path))

    def _certificate(self, pair: KeyPair, *, named: bool = False) -> Iterator[tuple[str, bool]]:
        try:
            Certificates([pair])
        except SettingError as error:
            yield self._answer_as_root("certificate", error) if named else self._answer("certificate", error)

    def _routes(self) -> Iterator[tuple[str, bool]]:
        for each in self._config.route:
            # A variable of the environment may be set where the daemon is started.
            route = replace(each, user="", password_env="") if each.password_env else each
            try:
                check_route(route, {})
            except SettingError as error:
                yield self._answer(f"route {each.to}:", error)

    def _handlers(self) -> Iterator[tuple[str, bool]]:
        for target in self._config.handlers:
            self._imports("deliver", target)
            try:
                load_handler(target)
            except SettingError as error:
                error.__cause__ = None  # its code may meet any error
                yield self._answer("", error)

    def _accounts(self) -> Iterator[tuple[str, bool]]:
        kind, target = self._config.accounts
        if kind != "python" or all(login_setting(each) == "off" for each in self._config.listener):
            return
        self._imports("accounts", target)
        try:
            load_accounts(target)
        except SettingError as error:
            error.__cause__ = None  # its code may meet any error
            yield self._answer("accounts:", error)


def main(path: str) -> None:
    """Answer for the configuration file ``path`` on standard output, and end the process."""
    to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # own code may print, and read
        os.dup2(nowhere, descriptor)
    _write_answers(path, to)
    os._exit(0)  # whatever threads own code has started


def _write_answers(path: str, to: TextIO) -> None:
    def write(line: object) -> None:
        print(json.dumps(line), file=to, flush=True)

    for answer in StartCheck(load(path), lambda *named: write({"imports": named})).answers():
        write(answer)
    write(None)
