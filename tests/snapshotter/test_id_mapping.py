"""Labels that map users: read, and refused."""

import pytest

from snapshotter.errors import InvalidLabelError
from snapshotter.id_mapping import GID_MAPPING, UID_MAPPING, IdMapping, Owner, parse_id_mapping


def test_labels_say_who_root_is() -> None:
    labels = {UID_MAPPING: "1:5:10,0:1000:1", GID_MAPPING: "0:2000:65536"}
    expected = IdMapping(Owner(1000, 2000), "1 5 10\n0 1000 1\n", "0 2000 65536\n")
    assert parse_id_mapping(labels) == expected
    assert parse_id_mapping({"other": "label"}) is None


@pytest.mark.parametrize(
    "labels",
    [
        {UID_MAPPING: "0:1000:65536"},
        {UID_MAPPING: "0:1000", GID_MAPPING: "0:1000:1"},
        {UID_MAPPING: "0:1000:1", GID_MAPPING: ""},
        {UID_MAPPING: "0:1000:1", GID_MAPPING: "1:1000:1"},
    ],
)
def test_what_makes_no_sense_is_refused(labels: dict[str, str]) -> None:
    with pytest.raises(InvalidLabelError, match="mapping"):
        parse_id_mapping(labels)
