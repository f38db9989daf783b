"""Whose root this process is."""

from pathlib import Path

import pytest

from fs.compiling import OPAQUE_XATTR
from fs.rootless import is_rootless, opaque_xattr


@pytest.mark.parametrize(
    ("uid_map", "rootless"),
    [
        ("         0          0 4294967295\n", False),
        ("         0       1000          1\n         1     100000      65536\n", True),
        ("         0          0      65536\n", True),
        ("", True),
    ],
    ids=["machine", "rootlesskit", "a part", "nobody"],
)
def test_the_first_user_namespace_maps_all_users_to_themselves(
    tmp_path: Path, uid_map: str, *, rootless: bool
) -> None:
    path = tmp_path / "uid_map"
    path.write_text(uid_map)
    assert is_rootless(path) is rootless


@pytest.mark.fuse  # which needs root of the machine
def test_here_marks_are_those_of_root() -> None:
    assert opaque_xattr() == OPAQUE_XATTR
