"""Settings of the snapshotter, declared once."""

from dataclasses import dataclass, field
from pathlib import Path

from fs.filling import FillSettings
from fs.log import LogLevel
from snapshotter.errors import ConfigError

# What the kernel allows in sockaddr_un, less the terminating zero byte.
_MAX_SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How the daemon runs.

    Attributes:
        address: Socket that containerd connects to.
        root: Directory of all state.
        log_level: Least level that is logged.
        foreground_fs: Keep the fs server in this process group and stop it with the daemon (development).
        filling: What an fs server that is started fetches unasked.

    Raises:
        ConfigError: a path is relative, or too long for a socket.
    """

    address: Path = Path("/run/containerd-stargz-grpc/containerd-stargz-grpc.sock")
    root: Path = Path("/var/lib/containerd-stargz-grpc")
    log_level: LogLevel = LogLevel.INFO
    foreground_fs: bool = False
    filling: FillSettings = field(default_factory=FillSettings)

    def __post_init__(self) -> None:
        for setting, path in (("address", self.address), ("root", self.root)):
            if not path.is_absolute():
                raise ConfigError(setting, f"{path} is not an absolute path")
        for setting, path in (("address", self.address), ("root", self.fs_socket)):
            if len(bytes(path)) > _MAX_SOCKET_PATH_BYTES:
                raise ConfigError(
                    setting,
                    f"{path} is longer than {_MAX_SOCKET_PATH_BYTES} bytes, too long for a socket",
                )
        if ":" in str(self.root) or "," in str(self.root):
            raise ConfigError(
                "root", f"{self.root} contains ':' or ',', which overlayfs cannot mount"
            )

    @property
    def snapshotter_root(self) -> Path:
        """Where snapshots are kept."""
        return self.root / "snapshotter"

    @property
    def fs_root(self) -> Path:
        """Where the fs server keeps layers."""
        return self.root / "stargz"

    @property
    def fs_socket(self) -> Path:
        """The control socket of the fs server."""
        return self.root / "fs.sock"

    @property
    def fs_log(self) -> Path:
        """What the fs server logs."""
        return self.root / "fs.log"
