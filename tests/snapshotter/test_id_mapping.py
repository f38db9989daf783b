"""Labels that map users: read, refused, and obeyed by the snapshot that has them."""

import pytest

from snapshotter.errors import InvalidLabelError
from snapshotter.id_mapping import GID_MAPPING, UID_MAPPING, IdMapping, Owner, parse_id_mapping
from snapshotter.mounts import Kind
from tests.snapshotter.conftest import Site, committed


def test_labels_say_who_root_is() -> None:
    labels = {UID_MAPPING: "1:5:10,0:1000:1", GID_MAPPING: "0:2000:65536"}
    options = ("uidmap=1:5:10,0:1000:1", "gidmap=0:2000:65536")
    assert parse_id_mapping(labels) == IdMapping(Owner(1000, 2000), options)
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


def test_a_mapped_snapshot_belongs_to_the_containers_root(site: Site) -> None:
    labels = {UID_MAPPING: "0:1000:65536", GID_MAPPING: "0:2000:65536"}
    committed(site.snapshots, "base")
    for key, parent in (("over", "base"), ("alone", "")):
        mounts = site.snapshots.prepare(key, parent, labels)
        assert site.snapshots.mounts(key) == mounts
        status = site.directories.of(site.records.get(key).id).fs.stat()
        assert (status.st_uid, status.st_gid) == (1000, 2000)
        mapped = {"uidmap=0:1000:65536", "gidmap=0:2000:65536"} & set(mounts[0].options)
        assert len(mapped) == (2 if parent else 0)
    assert site.snapshots.stat("over").kind is Kind.ACTIVE
