"""Settings are refused before they can do harm."""

from pathlib import Path

import pytest

from fs.filling import FillSettings
from fs.log import LogLevel
from fs.settings import Backend, FsSettings
from registry.host_settings import HostSettings, MirrorSettings
from registry.keychain.credential_settings import (
    CredentialSettings,
    KubernetesSettings,
    SealSettings,
)
from registry.keychain.docker_config import Login
from registry.settings import ClientSettings
from snapshotter.config import (
    CriSettings,
    ServeSettings,
    TcpAddress,
    cri_settings,
    debug_address,
    fs_settings,
    metrics_address,
)
from snapshotter.config_file import ConfigFile
from snapshotter.errors import ConfigError


def test_defaults_are_those_of_the_go_snapshotter() -> None:
    settings = ServeSettings()
    assert str(settings.address) == "/run/containerd-stargz-grpc/containerd-stargz-grpc.sock"
    assert str(settings.root) == "/var/lib/containerd-stargz-grpc"
    assert str(settings.snapshotter_root) == "/var/lib/containerd-stargz-grpc/snapshotter"
    assert str(settings.fs_socket) == "/var/lib/containerd-stargz-grpc/fs.sock"


@pytest.mark.parametrize(
    ("setting", "path", "reason"),
    [
        ("address", "relative.sock", "not an absolute path"),
        ("root", "relative", "not an absolute path"),
        ("address", "/" + "x" * 107, "too long"),
        ("root", "/" + "x" * 100, "too long"),
        ("debug_address", "relative", "not an absolute path"),
        ("root", "/var/lib/a:b", "overlayfs"),
        ("root", "/var/lib/a,b", "overlayfs"),
    ],
)
def test_what_cannot_be_used(setting: str, path: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"^{setting}: .*{reason}"):
        ServeSettings(**{setting: Path(path)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9000", "127.0.0.1", 9000),
        (":0", "", 0),
        ("[::1]:80", "::1", 80),
        ("a.b:1", "a.b", 1),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = TcpAddress.parse("x", text)
    assert (address, str(address)) == (TcpAddress(host, port), text)


@pytest.mark.parametrize(
    "text", ["", "9000", "host", "host:", "host:x", "host:70000", "::1:80", "a:-1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^metrics_address: .* is not host:port"):
        TcpAddress.parse("metrics_address", text)


def said(**values: object) -> ConfigFile:
    return ConfigFile(Path("/c.toml"), {name.replace("__", "."): v for name, v in values.items()})


def test_a_silent_file_changes_nothing() -> None:
    silent = ConfigFile()
    assert fs_settings(silent, LogLevel.INFO) == FsSettings()
    assert (metrics_address(silent), debug_address(silent)) == (None, None)


def test_what_is_fetched_unasked_can_be_chosen() -> None:
    file = said(noprefetch=True, prefetch_size=1000, no_background_fetch=True, max_concurrency=5)
    expected = FillSettings(prefetch=False, prefetch_bytes=1000, background=False, layers_at_once=5)
    assert fs_settings(file, LogLevel.DEBUG) == FsSettings(
        log_level=LogLevel.DEBUG, filling=expected
    )


def test_how_registries_are_spoken_to_can_be_chosen() -> None:
    waits = {"blob__min_wait_msec": 250, "blob__max_wait_msec": 1500}
    file = said(blob__max_retries=2, resolver__request_timeout_sec=7, **waits)
    assert fs_settings(file, LogLevel.INFO).registry == ClientSettings(
        attempts=3, backoff_seconds=0.25, max_backoff_seconds=1.5, inactivity_timeout_seconds=7
    )
    slow = fs_settings(said(blob__min_wait_msec=9000), LogLevel.INFO).registry
    assert (slow.backoff_seconds, slow.max_backoff_seconds) == (9, 9)


def test_the_backend_and_the_size_of_the_cache_can_be_chosen() -> None:
    told = fs_settings(said(fs__backend="erofs", cache__max_bytes=10**12), LogLevel.INFO)
    assert (told.backend, told.caching.max_bytes) == (Backend.EROFS, 10**12)


def test_metrics_can_be_refused_altogether() -> None:
    assert metrics_address(said(metrics_address="h:1")) == TcpAddress("h", 1)
    assert metrics_address(said(metrics_address="h:1", no_prometheus=True)) is None


def test_hosts_can_be_configured() -> None:
    mirror = {"host": "m.io", "insecure": True}
    file = said(resolver__host={"a.io": {"mirrors": [mirror]}}, registry__config_path="/a:/b")
    assert fs_settings(file, LogLevel.INFO).registry.hosts == HostSettings(
        (Path("/a"), Path("/b")), {"a.io": (MirrorSettings("m.io", plain_http=True),)}
    )


def test_a_mistake_about_hosts_is_told_with_file_and_key() -> None:
    file = said(resolver__host={"a.io": {"mirrors": [{"host": "http://m.io"}]}})
    with pytest.raises(
        ConfigError, match=r'^/c\.toml: resolver\.host\."a\.io"\.mirrors\[0\]\.host'
    ):
        fs_settings(file, LogLevel.INFO)


def test_sources_of_credentials_can_be_configured() -> None:
    login = {"username": "user", "password": "secret"}
    file = said(
        registry__configs={"a.io": {"auth": login}},
        credential_provider__config="/p.yaml",
        credential_provider__bin_dir="/bin",
        registry__credential_files="/secret/.dockerconfigjson",
    )
    assert fs_settings(file, LogLevel.INFO).registry.credentials == CredentialSettings(
        logins={"a.io": Login(**login)},
        provider_config=Path("/p.yaml"),
        provider_directory=Path("/bin"),
        files=(Path("/secret/.dockerconfigjson"),),
    )


def test_half_of_a_credential_provider_is_refused() -> None:
    with pytest.raises(ConfigError, match="credential_provider needs both"):
        fs_settings(said(credential_provider__config="/p.yaml"), LogLevel.INFO)


def test_secrets_of_kubernetes_are_watched_where_it_is_said() -> None:
    def settings(**values: object) -> KubernetesSettings | None:
        file = said(**{f"kubeconfig_keychain__{key}": value for key, value in values.items()})
        return fs_settings(file, LogLevel.INFO).registry.credentials.kubernetes

    assert settings(kubeconfig_path="/k") is None
    assert settings(enable_keychain=True) == KubernetesSettings()
    assert settings(enable_keychain=True, kubeconfig_path="/k") == KubernetesSettings(Path("/k"))
    with pytest.raises(ConfigError, match="kubeconfig_path must be an absolute path"):
        settings(enable_keychain=True, kubeconfig_path="k")


def test_passed_credentials_are_sealed_where_it_is_said() -> None:
    def sealing(**values: object) -> SealSettings | None:
        file = said(**{f"cri_keychain__{key}": value for key, value in values.items()})
        return fs_settings(file, LogLevel.INFO).sealing

    assert sealing(enable_keychain=True) is None
    assert sealing(seal_key_path="/k") is None
    settings = sealing(enable_keychain=True, seal_key_path="/k", seal_max_age_hours=1)
    assert settings == SealSettings(Path("/k"), max_age_seconds=3600)
    beside = FsSettings(sealing=SealSettings(Path("/r/key")))
    with pytest.raises(ConfigError, match="whoever copies one has both"):
        ServeSettings(root=Path("/r"), fs=beside)


def test_two_sockets_are_never_the_same() -> None:
    with pytest.raises(ConfigError, match="address, root, debug_address: two of them are the same"):
        ServeSettings(debug_address=ServeSettings().address)


def test_the_image_service_for_the_kubelet() -> None:
    assert cri_settings(said(cri_keychain__listen_path="/run/cri.sock")) is None
    wanted = {"cri_keychain__enable_keychain": True}
    default = Path("/run/containerd/containerd.sock")
    assert cri_settings(said(**wanted)) == CriSettings(default)
    paths = {"cri_keychain__listen_path": "/l", "cri_keychain__image_service_path": "/i"}
    assert cri_settings(said(**wanted, **paths)) == CriSettings(Path("/i"), Path("/l"))
