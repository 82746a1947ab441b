"""Accounts: who may log in, with what, and as whom an account may send."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.service.accounts.account_file import Account, AccountFile, FileAccounts, decoy_secret
    from posthouse.service.accounts.store import AccountStore, answer

__all__ = ["Account", "AccountFile", "AccountStore", "FileAccounts", "answer", "decoy_secret"]

__getattr__ = lazily(
    __name__, {"account_file": "Account AccountFile FileAccounts decoy_secret", "store": "AccountStore answer"}
)
