"""A root is one daemon's."""

from pathlib import Path

import pytest

from snapshotter.errors import StartupError
from snapshotter.root_lock import held_alone


def test_the_second_one_is_told_and_has_it_afterwards(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with (
        held_alone(place, owner="store", root=tmp_path),
        pytest.raises(StartupError, match=f"another store already uses {tmp_path}"),
        held_alone(place, owner="store", root=tmp_path),
    ):
        pass
    with held_alone(place, owner="store", root=tmp_path):
        pass
