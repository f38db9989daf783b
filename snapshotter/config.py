"""Settings of the snapshotter, declared once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fs.cache_usage import CacheSettings
from fs.filling import FillSettings
from fs.log import LogLevel
from fs.settings import Backend, FsSettings
from registry.host_settings import HostSettings
from registry.keychain.credential_settings import (
    CredentialSettings,
    KubernetesSettings,
    SealSettings,
)
from registry.keychain.login_table import parse_logins
from registry.resolver_table import parse_mirrors, parse_paths
from registry.settings import ClientSettings
from snapshotter.config_file import ConfigFile
from snapshotter.errors import ConfigError

# What the kernel allows in sockaddr_un, less the terminating zero byte.
_MAX_SOCKET_PATH_BYTES = 107
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Where a TCP server listens.

    Attributes:
        host: A name or an address; empty for all of this machine's.
        port: 0 for any that is free.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, setting: str, text: str) -> "TcpAddress":
        """Reads ``host:port``; IPv6 addresses are in brackets.

        Raises:
            ConfigError: it is not one.
        """
        host, separator, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        fits = port.isascii() and port.isdigit() and int(port) <= _MAX_PORT
        if not separator or not fits or (":" in host and not bracketed):
            raise ConfigError(setting, f"{text!r} is not host:port")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class CriSettings:
    """Being an image service to the kubelet.

    Attributes:
        image_service: Socket of the real one.
        listen: Socket of its own; None for the one that containerd connects to.
    """

    image_service: Path
    listen: Path | None = None


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How the daemon runs.

    Attributes:
        address: Socket that containerd connects to.
        root: Directory of all state.
        log_level: Least level that is logged.
        foreground_fs: Keep the fs server in this process group and stop it with the daemon (development).
        metrics_address: Where metrics and health are served over HTTP; None for nowhere.
        debug_address: Socket that serves what the daemon is doing; None for none.
        cri: How to be an image service; None for not at all.
        fs: What the fs server is told.

    Raises:
        ConfigError: a path is relative, or too long for a socket.
    """

    address: Path = Path("/run/containerd-stargz-grpc/containerd-stargz-grpc.sock")
    root: Path = Path("/var/lib/containerd-stargz-grpc")
    log_level: LogLevel = LogLevel.INFO
    foreground_fs: bool = False
    metrics_address: TcpAddress | None = None
    debug_address: Path | None = None
    cri: CriSettings | None = None
    fs: FsSettings = field(default_factory=FsSettings)

    def __post_init__(self) -> None:
        cri = self.cri
        maybe = {
            "address": self.address,
            "root": self.fs_socket,
            "debug_address": self.debug_address,
            "cri_keychain.image_service_path": None if cri is None else cri.image_service,
            "cri_keychain.listen_path": None if cri is None else cri.listen,
        }
        sockets = {setting: path for setting, path in maybe.items() if path is not None}
        for setting, path in sockets.items():
            _check_socket(setting, path)
        if len(set(sockets.values())) < len(sockets):
            raise ConfigError(", ".join(sockets), "two of them are the same socket")
        if ":" in str(self.root) or "," in str(self.root):
            raise ConfigError(
                "root", f"{self.root} contains ':' or ',', which overlayfs cannot mount"
            )
        sealing = self.fs.sealing
        if sealing is not None and sealing.key.is_relative_to(self.root):
            reason = f"{sealing.key} is where what it seals is: whoever copies one has both"
            raise ConfigError("cri_keychain.seal_key_path", reason)

    @property
    def snapshotter_root(self) -> Path:
        """Where snapshots are kept."""
        return self.root / "snapshotter"

    @property
    def records_file(self) -> Path:
        """What is known of snapshots."""
        return self.snapshotter_root / "snapshots.db"

    @property
    def verdicts_file(self) -> Path:
        """Why layers are not lazy."""
        return self.snapshotter_root / "verdicts.db"

    @property
    def fs_root(self) -> Path:
        """Where the fs server keeps layers."""
        return self.root / "stargz"

    @property
    def fs_socket(self) -> Path:
        """The control socket of the fs server."""
        return self.root / "fs.sock"

    @property
    def fs_settings_file(self) -> Path:
        """What the fs server is told."""
        return self.root / "fs.json"

    @property
    def fs_log(self) -> Path:
        """What the fs server logs."""
        return self.root / "fs.log"


def _check_socket(setting: str, path: Path) -> None:
    if not path.is_absolute():
        raise ConfigError(setting, f"{path} is not an absolute path")
    if len(bytes(path)) > _MAX_SOCKET_PATH_BYTES:
        reason = f"{path} is longer than {_MAX_SOCKET_PATH_BYTES} bytes, too long for a socket"
        raise ConfigError(setting, reason)


def fs_settings(file: ConfigFile, log_level: LogLevel) -> FsSettings:
    """What a configuration file tells the fs server."""
    return FsSettings(
        backend=Backend(file.get("fs.backend")),
        log_level=log_level,
        filling=FillSettings(
            prefetch=not file.get("noprefetch"),
            prefetch_bytes=file.get("prefetch_size"),
            wait_seconds=file.get("prefetch_timeout_sec"),
            wait_max_bytes=file.get("prefetch_async_size") or None,
            background=not file.get("no_background_fetch"),
            layers_at_once=file.get("max_concurrency"),
        ),
        caching=CacheSettings(max_bytes=file.get("cache.max_bytes")),
        registry=_registry_settings(file),
        sealing=_seal_settings(file),
    )


def metrics_address(file: ConfigFile) -> TcpAddress | None:
    """Where metrics are to be served.

    Raises:
        ConfigError: that is not an address.
    """
    text = file.get("metrics_address")
    if not text or file.get("no_prometheus"):
        return None
    return TcpAddress.parse("metrics_address", text)


def debug_address(file: ConfigFile) -> Path | None:
    """The socket on which debugging information is to be served."""
    text = file.get("debug_address")
    return Path(text) if text else None


def cri_settings(file: ConfigFile) -> CriSettings | None:
    """How to be an image service to the kubelet, if a configuration file wants that."""
    if not file.get("cri_keychain.enable_keychain"):
        return None
    listen = file.get("cri_keychain.listen_path")
    service = Path(file.get("cri_keychain.image_service_path"))
    return CriSettings(service, Path(listen) if listen else None)


def _registry_settings(file: ConfigFile) -> ClientSettings:
    """Only what the file says: where it is silent, this program's own defaults are better."""
    ours = ClientSettings()
    said = file.values

    def seconds(name: str, default: float) -> float:
        return said[name] / 1000 if said.get(name) else default

    least = seconds("blob.min_wait_msec", ours.backoff_seconds)
    return ClientSettings(
        attempts=file.get("blob.max_retries") + 1
        if said.get("blob.max_retries")
        else ours.attempts,
        backoff_seconds=least,
        max_backoff_seconds=max(least, seconds("blob.max_wait_msec", ours.max_backoff_seconds)),
        inactivity_timeout_seconds=file.get("resolver.request_timeout_sec"),
        operation_timeout_seconds=file.get("blob.fetching_timeout_sec"),
        max_bytes_per_second=file.get("blob.max_mbit_per_sec") * 1e6 / 8 or None,
        hosts=_host_settings(file),
        credentials=_credential_settings(file),
    )


def _host_settings(file: ConfigFile) -> HostSettings:
    error = _error_in(file)
    return HostSettings(
        config_paths=_paths(file, "registry.config_path"),
        mirrors=parse_mirrors(file.get("resolver.host"), error),
    )


def _credential_settings(file: ConfigFile) -> CredentialSettings:
    error = _error_in(file)
    config, directory = (file.get(f"credential_provider.{key}") for key in ("config", "bin_dir"))
    if bool(config) != bool(directory):
        raise error("credential_provider", "needs both config and bin_dir")
    return CredentialSettings(
        logins=parse_logins(file.get("registry.configs"), error),
        files=_paths(file, "registry.credential_files"),
        provider_config=Path(config) if config else None,
        provider_directory=Path(directory) if directory else None,
        kubernetes=_kubernetes_settings(file),
    )


def _seal_settings(file: ConfigFile) -> SealSettings | None:
    path = _absolute_path(file, "cri_keychain.seal_key_path")
    if path is None or not file.get("cri_keychain.enable_keychain"):
        return None
    return SealSettings(path, file.get("cri_keychain.seal_max_age_hours") * 3600.0)


def _kubernetes_settings(file: ConfigFile) -> KubernetesSettings | None:
    if not file.get("kubeconfig_keychain.enable_keychain"):
        return None
    return KubernetesSettings(_absolute_path(file, "kubeconfig_keychain.kubeconfig_path"))


def _absolute_path(file: ConfigFile, key: str) -> Path | None:
    text = file.get(key)
    if text and not Path(text).is_absolute():
        raise _error_in(file)(key, "must be an absolute path")
    return Path(text) if text else None


def _paths(file: ConfigFile, key: str) -> tuple[Path, ...]:
    return parse_paths(file.get(key), key, _error_in(file))


def _error_in(file: ConfigFile) -> Callable[[str, str], ConfigError]:
    """Makes errors about keys of a file."""
    return lambda key, reason: ConfigError(str(file.path), f"{key} {reason}")
