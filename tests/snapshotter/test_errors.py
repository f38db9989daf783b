"""Errors carry fields, and fit on one line whatever is in them."""

from pathlib import Path

import pytest

from snapshotter import errors

EXAMPLES: list[errors.SnapshotterError] = [
    errors.SnapshotNotFoundError("a\nb"),
    errors.SnapshotStateError("a\nb", "has children"),
    errors.InvalidRequestError("key", "a\nb", "must not be empty"),
    errors.InvalidLabelError("a\nb" * 2000, "too long"),
    errors.InvalidFilterError("a\nb", 1, "expected a field"),
    errors.LayerUnavailableError("sha256:1", "the registry is away"),
    errors.FsServerError("died"),
    errors.RecordsError(Path("/db"), "damaged"),
    errors.ConfigError("root", "not absolute"),
    errors.StartupError("mounting needs root", "run as root"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_message_is_one_line(error: errors.SnapshotterError) -> None:
    assert 0 < len(str(error)) < 300
    assert "\n" not in str(error)


def test_an_existing_target_is_told_in_the_words_containerd_s_tools_know() -> None:
    error = errors.SnapshotExistsError("sha256:1", role="target snapshot")
    assert str(error) == 'target snapshot "sha256:1": already exists'
    assert (error.name, error.role) == ("sha256:1", "target snapshot")


def test_a_filter_error_counts_from_one() -> None:
    assert "at character 3" in str(errors.InvalidFilterError("name", 2, "no"))
