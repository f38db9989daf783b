"""The table of keys: every key of containerd-stargz-grpc is known, and does something or says why not."""

import pytest

from snapshotter.config_keys import KEYS

# As containerd-stargz-grpc documents them.
_DOCUMENTED = [
    "metrics_address",
    "no_prometheus",
    "debug_address",
    "ipfs",
    "metadata_store",
    "http_cache_type",
    "filesystem_cache_type",
    "resolve_result_entry_ttl_sec",
    "resolve_result_entry",
    "prefetch_size",
    "prefetch_timeout_sec",
    "prefetch_async_size",
    "noprefetch",
    "no_background_fetch",
    "max_concurrency",
    "debug",
    "allow_no_verification",
    "disable_verification",
    "log_file_access",
    "blob.valid_interval",
    "blob.check_always",
    "blob.chunk_size",
    "blob.fetching_timeout_sec",
    "blob.force_single_range_mode",
    "blob.prefetch_chunk_size",
    "blob.max_retries",
    "blob.min_wait_msec",
    "blob.max_wait_msec",
    "directory_cache.max_lru_cache_entry",
    "directory_cache.max_cache_fds",
    "directory_cache.sync_add",
    "directory_cache.direct",
    "directory_cache.fadv_dontneed",
    "fuse.attr_timeout",
    "fuse.entry_timeout",
    "fuse.passthrough",
    "fuse.merge_buffer_size",
    "fuse.merge_worker_count",
    "resolver.request_timeout_sec",
    "resolver.host",
    "snapshotter.allow_invalid_mounts_on_restart",
    "kubeconfig_keychain.enable_keychain",
    "kubeconfig_keychain.kubeconfig_path",
    "cri_keychain.enable_keychain",
    "cri_keychain.image_service_path",
    "cri_keychain.listen_path",
    "fuse_manager.enable",
    "fuse_manager.address",
    "fuse_manager.path",
    "fuse_manager.metrics_address",
]


@pytest.mark.parametrize("name", _DOCUMENTED)
def test_a_documented_key_is_known(name: str) -> None:
    assert name in KEYS


@pytest.mark.parametrize("key", KEYS.values(), ids=str)
def test_a_key_does_something_or_says_why_not(key) -> None:
    assert bool(key.meaning) != bool(key.idle)
    assert key.reason_against(key.default) is None


def test_a_wait_has_an_end() -> None:
    key = KEYS["prefetch_timeout_sec"]
    assert key.reason_against(120) is None
    assert "not be more than 120" in (key.reason_against(121) or "")
    assert "less than 0" in (key.reason_against(-1) or "")


def test_secrets_are_not_shown() -> None:
    mirror = {"host": "m.io", "header": {"X-Key": "secret"}}
    shown = KEYS["resolver.host"].shown({"a.io": {"mirrors": [mirror]}})
    assert shown == {"a.io": {"mirrors": [{"host": "m.io", "header": "(hidden)"}]}}
