"""The table of all operations; each is declared in the module that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from posthouse.service.operations.base import Operation
from posthouse.service.operations.checks.dmarc_summary import REPORT_DMARC
from posthouse.service.operations.checks.domain_records import CHECK_DOMAIN
from posthouse.service.operations.checks.message_checks import CHECK_MESSAGE
from posthouse.service.operations.dkim_keys import DKIM_OPERATIONS
from posthouse.service.operations.explain import EXPLAIN_OPERATIONS
from posthouse.service.operations.faults.fault_operations import FAULT_OPERATIONS
from posthouse.service.operations.inbox import INBOX_OPERATIONS
from posthouse.service.operations.monitor.metrics import METRICS
from posthouse.service.operations.monitor.overview_operation import OVERVIEW
from posthouse.service.operations.monitor.pause_operations import PAUSE_OPERATIONS
from posthouse.service.operations.monitor.session_operations import SESSION_OPERATIONS
from posthouse.service.operations.monitor.undo_operations import UNDO_OPERATIONS
from posthouse.service.operations.queue import QUEUE_OPERATIONS
from posthouse.service.operations.reload import RELOAD
from posthouse.service.operations.setup.config_report import CHECK_SETTINGS
from posthouse.service.operations.setup.findings import CHECK_FINDINGS
from posthouse.service.operations.setup.operator_operations import OPERATOR_OPERATIONS
from posthouse.service.operations.sites import SITES
from posthouse.service.operations.users import USER_OPERATIONS

__all__ = ["OPERATIONS"]

#: Every operation by name.
OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        each.name: each
        for each in (
            *QUEUE_OPERATIONS,
            SITES,
            OVERVIEW,
            METRICS,
            *SESSION_OPERATIONS,
            *PAUSE_OPERATIONS,
            *UNDO_OPERATIONS,
            RELOAD,
            CHECK_SETTINGS,
            CHECK_FINDINGS,
            *OPERATOR_OPERATIONS,
            CHECK_DOMAIN,
            CHECK_MESSAGE,
            REPORT_DMARC,
            *FAULT_OPERATIONS,
            *INBOX_OPERATIONS,
            *EXPLAIN_OPERATIONS,
            *USER_OPERATIONS,
            *DKIM_OPERATIONS,
        )
    }
)
