import pytest

from registry.settings import ClientSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"connect_timeout_seconds": 0.0},
        {"inactivity_timeout_seconds": -1.0},
        {"max_manifest_bytes": 0},
        {"max_connections": 0},
        {"backoff_seconds": -1.0},
        {"max_backoff_seconds": -1.0},
        {"max_retry_after_seconds": -1.0},
        {"max_unranged_bytes": -1},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        ClientSettings(**wrong)
