import pytest

from fs.erofs.xattrs import SharedXattrs, xattr_units
from fs.errors import UnrepresentableError


def test_what_one_inode_has_stays_beside_it() -> None:
    shared = SharedXattrs([({b"user.a": b"12345"}, 1), ({}, 9)])
    assert shared.area == b""
    body = shared.dump({b"user.a": b"12345"})
    assert body == bytes(12) + b"\x01\x01\x05\0a12345" + bytes(2)
    assert xattr_units(body) == 1 + 3


def test_what_several_have_is_kept_once() -> None:
    shared = SharedXattrs([({b"user.a": b"1"}, 1), ({b"user.a": b"1", b"user.b": b"2"}, 1)])
    assert shared.area == b"\x01\x01\x01\0a1\0\0"
    assert shared.dump({b"user.a": b"1"}) == bytes(4) + b"\1" + bytes(7) + bytes(4)
    assert len(shared.dump({b"user.a": b"1", b"user.b": b"2"})) == 12 + 4 + 8


def test_an_inode_refers_to_as_many_as_it_can_and_keeps_the_rest() -> None:
    xattrs = {f"user.{number}".encode(): b"" for number in range(300)}
    body = SharedXattrs([(xattrs, 2)]).dump(xattrs)
    assert body[4] == 255
    assert xattr_units(body) == 1 + 255 + 45 * 2


@pytest.mark.parametrize("name", [b"com.apple.x", b"user.", b"system.posix_acl_access2", b"bare"])
def test_what_no_file_system_takes_is_left_out(name: bytes) -> None:
    assert SharedXattrs([]).dump({name: b""}) == b""


def test_an_inode_without_attributes_says_nothing() -> None:
    assert SharedXattrs([]).dump({}) == b""
    assert xattr_units(b"") == 0


def test_what_cannot_be_held_is_refused() -> None:
    with pytest.raises(UnrepresentableError, match="access control list"):
        SharedXattrs([({b"system.posix_acl_default": b"\2\0\0\0123"}, 1)])
