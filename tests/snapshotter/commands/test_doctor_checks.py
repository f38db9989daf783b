from snapshotter.commands.doctor_checks import Finding, finding_document, finding_lines, run_checks

_PROBLEM = Finding.problem("kernel", "is old", advice="update it", subject="5.4")


def test_checks_run_in_order_and_report_at_once():
    told: list[Finding] = []
    first, second = Finding.ok("a", "good"), Finding.note("b", "odd")
    findings = run_checks(
        [lambda report: report(first), lambda report: report(second)], told.append
    )
    assert findings == (first, second)
    assert told == [first, second]


def test_a_problem_is_shown_with_what_to_do():
    assert list(finding_lines(_PROBLEM)) == [
        "problem  kernel       5.4 is old",
        "                      → update it",
    ]
    assert list(finding_lines(Finding.ok("a", "good"))) == ["ok       a            good"]


def test_documents():
    assert finding_document(_PROBLEM) == {
        "check": "kernel",
        "subject": "5.4",
        "outcome": "problem",
        "what": "is old",
        "advice": "update it",
    }
    document = finding_document(Finding.note("a", "odd"))
    assert (document["subject"], document["advice"]) == (None, None)
