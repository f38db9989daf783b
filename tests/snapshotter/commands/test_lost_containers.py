"""Containers that lost their layers, in a state directory; that they are found and named is shown with containerd (tests/e2e)."""

from pathlib import Path

import pytest

from snapshotter.commands.doctor_checks import Outcome
from snapshotter.commands.lost_containers import check_containers, named_cut_off
from snapshotter.config import ServeSettings
from snapshotter.records import read_records
from tests.snapshotter.daemon_home import home_in


def test_nothing_is_said_while_the_fs_server_is_away(tmp_path: Path) -> None:
    settings = ServeSettings(address=tmp_path / "grpc.sock", root=tmp_path)
    assert list(check_containers(settings, "absent")) == []
    assert named_cut_off(settings, read_records(settings.records_file), "absent") == {}


@pytest.mark.fuse
def test_none_has_lost_its_layers(tmp_path: Path) -> None:
    with home_in(tmp_path) as home, home.serving():
        settings = ServeSettings(address=home.address, root=home.root)
        (finding,) = check_containers(settings, "absent")
        assert (finding.check, finding.outcome) == ("container", Outcome.OK)
        home.stop()
