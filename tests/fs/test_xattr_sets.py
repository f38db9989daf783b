from hypothesis import given, strategies as st

from fs.xattr_sets import dump_xattrs, parse_xattrs

XATTRS = st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=20))


@given(XATTRS)
def test_sets_come_back(xattrs: dict[bytes, bytes]) -> None:
    assert parse_xattrs(dump_xattrs(xattrs)) == xattrs


@given(XATTRS)
def test_equal_sets_are_equal_bytes(xattrs: dict[bytes, bytes]) -> None:
    assert dump_xattrs(dict(reversed(xattrs.items()))) == dump_xattrs(xattrs)
