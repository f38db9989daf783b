"""What ``pyestargz doctor`` finds: values, and how they are shown. What is looked at is in modules of its own, one for each part."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Outcome(Enum):
    """How it stands with one thing."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        check: what was looked at, in a word; stable, for scripts.
        outcome: whether it is as it should be.
        what: what was found, in one line.
        advice: what to do about it; never empty for a problem.
        subject: which one of several, a server for example; may be empty.
    """

    check: str
    outcome: Outcome
    what: str
    advice: str = ""
    subject: str = ""

    @classmethod
    def ok(cls, check: str, what: str, *, subject: str = "") -> "Finding":
        """It is as it should be."""
        return cls(check, Outcome.OK, what, subject=subject)

    @classmethod
    def note(cls, check: str, what: str, *, subject: str = "") -> "Finding":
        """It may be meant so."""
        return cls(check, Outcome.NOTE, what, subject=subject)

    @classmethod
    def problem(cls, check: str, what: str, *, advice: str, subject: str = "") -> "Finding":
        """Something should be done."""
        return cls(check, Outcome.PROBLEM, what, advice, subject)


Report = Callable[[Finding], None]
# Looks at something, and reports each finding at once: some wait for a network.
Check = Callable[[Report], None]


def run_checks(checks: Iterable[Check], report: Report) -> tuple[Finding, ...]:
    """Runs checks one after the other; all findings, in order."""
    findings: list[Finding] = []

    def keep(finding: Finding) -> None:
        findings.append(finding)
        report(finding)

    for check in checks:
        check(keep)
    return tuple(findings)


def finding_lines(finding: Finding) -> Iterator[str]:
    """A finding, for people."""
    about = f"{finding.subject} " if finding.subject else ""
    yield f"{finding.outcome.value:<8} {finding.check:<12} {about}{finding.what}"
    if finding.advice:
        yield f"{'':<21} → {finding.advice}"


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding as ``--json`` prints it; field names are stable."""
    return {
        "check": finding.check,
        "subject": finding.subject or None,
        "outcome": finding.outcome.value,
        "what": finding.what,
        "advice": finding.advice or None,
    }
