from fs.fetch_counters import FetchCounters, FetchStatistics, Priority, Transfer


def test_each_priority_is_counted_apart() -> None:
    counters = FetchCounters()
    for priority, size in ((Priority.DEMAND, 10), (Priority.DEMAND, 5), (Priority.PREFETCH, 7)):
        counters.count_request(priority)
        counters.count_bytes(priority, size)
    counters.count_retry()
    counters.hits += 2
    expected = FetchStatistics(demand=Transfer(2, 15), prefetch=Transfer(1, 7), retries=1, hits=2)
    assert counters.snapshot() == expected
    assert "bytes_received=15" in repr(counters)
