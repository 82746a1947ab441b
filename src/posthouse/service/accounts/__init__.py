"""Accounts: who may log in, with what, and as whom an account may send."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.service.accounts.account_file import SCRAM_ITERATIONS, Account, AccountFile, decoy_secret
    from posthouse.service.accounts.any_accounts import AnyAccounts, read_logins
    from posthouse.service.accounts.dovecot import DovecotAccounts
    from posthouse.service.accounts.file_accounts import FileAccounts
    from posthouse.service.accounts.own_code import OwnAccounts, load_accounts
    from posthouse.service.accounts.store import AccountStore, answer

__all__ = [
    "Account",
    "AccountFile",
    "AccountStore",
    "AnyAccounts",
    "DovecotAccounts",
    "FileAccounts",
    "OwnAccounts",
    "SCRAM_ITERATIONS",
    "answer",
    "decoy_secret",
    "load_accounts",
    "read_logins",
]

__getattr__ = lazily(
    __name__,
    {
        "account_file": "Account AccountFile SCRAM_ITERATIONS decoy_secret",
        "any_accounts": "AnyAccounts read_logins",
        "dovecot": "DovecotAccounts",
        "file_accounts": "FileAccounts",
        "own_code": "OwnAccounts load_accounts",
        "store": "AccountStore answer",
    },
)
