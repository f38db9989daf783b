from hypothesis import given, strategies as st

from fs.eviction import Candidate, plan_eviction
from registry.digest import Digest

CANDIDATES = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 1000), st.booleans()), max_size=12
).map(
    lambda rows: [
        Candidate(
            layer=Digest.of(bytes([number])), last_used=used, disk_bytes=size, is_pinned=pinned
        )
        for number, (used, size, pinned) in enumerate(rows)
    ]
)


@given(CANDIDATES, st.integers(1, 5000), st.integers(0, 110))
def test_what_goes_is_enough_and_the_least_used(
    candidates: list[Candidate], wanted: int, used_before: int
) -> None:
    plan = plan_eviction(candidates, wanted, used_before=used_before)
    by_layer = {candidate.layer: candidate for candidate in candidates}
    going = {by_layer[layer]: size for layer, size in plan}
    free = {c for c in candidates if not c.is_pinned and c.last_used < used_before}
    assert going.keys() <= free
    assert all(0 < size <= candidate.disk_bytes for candidate, size in going.items())
    possible = sum(candidate.disk_bytes for candidate in free)
    assert sum(going.values()) == min(wanted, possible)
    staying = {c for c in free if c.disk_bytes > going.get(c, 0)}
    for stays in staying - going.keys():
        assert all(goes.last_used <= stays.last_used for goes in going)
    assert len(staying & going.keys()) <= 1
