"""Reports about messages that were sent: delivery status, dispositions, feedback, and bounces in words, classified."""

from posthouse.message.reports.bounce_kinds import Bounce, BounceKind, classify_bounce
from posthouse.message.reports.report_reader import read_report
from posthouse.message.reports.report_values import (
    Disposition,
    FeedbackDetails,
    MailReport,
    ReportedRecipient,
    ReportKind,
)

__all__ = [
    "Bounce",
    "BounceKind",
    "Disposition",
    "FeedbackDetails",
    "MailReport",
    "ReportKind",
    "ReportedRecipient",
    "classify_bounce",
    "read_report",
]
