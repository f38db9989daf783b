from registry.counters import ClientStatistics, Counters


def test_a_snapshot_stays_as_it_was():
    counters = Counters()
    counters.requests += 2
    snapshot = counters.snapshot()
    counters.requests += 1
    assert snapshot == ClientStatistics(requests=2)
