"""Authentication-Results fields (RFC 8601): values, reader, writer, and the removal of forged ones."""

from posthouse.mailauth.results.authentication_results import (
    RESULT_WORDS,
    AuthenticationResults,
    MethodResult,
    ResultProperty,
)
from posthouse.mailauth.results.results_reader import (
    UnreadableResults,
    is_forged,
    read_results,
    trusted_results,
    without_forged,
)
from posthouse.mailauth.results.results_writer import write_results

__all__ = [
    "AuthenticationResults",
    "MethodResult",
    "RESULT_WORDS",
    "ResultProperty",
    "UnreadableResults",
    "is_forged",
    "read_results",
    "trusted_results",
    "without_forged",
    "write_results",
]
