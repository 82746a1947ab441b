"""The check of a domain's mail records, with the records to publish."""

from posthouse.mailauth.domain_check.check_domain import check_domain
from posthouse.mailauth.domain_check.domain_report import DomainFinding, DomainReport, TopicReport

__all__ = ["DomainFinding", "DomainReport", "TopicReport", "check_domain"]
