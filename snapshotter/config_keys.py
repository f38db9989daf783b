"""The keys of the configuration file: those of containerd-stargz-grpc, and what each of them does here.

A key that has nothing to do here is *idle*: it is known, checked, and its reason told, so that nobody relies on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fs.filling import MAX_WAIT_SECONDS

_TYPE_NAMES: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    str: "a string",
    dict: "a table",
}
_KEPT_ON_DISK = "layers are kept on disk, compiled, and no memory grows with them"
_ONE_COPY = "verified content is kept once, on disk"
_IMMUTABLE = "layers never change: the kernel keeps what it knows of them"
_CHUNKS = "requests follow the chunks of the layer, and grow with what is read"


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes:
        name: With dots between tables.
        default: What holds if it is absent; its type is the type a value must have.
        meaning: What it does here; empty for an idle key.
        idle: Why it does nothing here; empty for the others.
        least: The smallest number that makes sense.
        most: The largest one; None if all do.
        choices: The strings that make sense; empty if all do.
        secrets: The keys inside of a table whose values are never shown.
    """

    name: str
    default: bool | int | str | Mapping[str, object]
    meaning: str = ""
    idle: str = ""
    least: int = 0
    most: int | None = None
    choices: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()

    def reason_against(self, value: Any) -> str | None:
        """Why a value cannot be meant; None for a good one."""
        kind = dict if isinstance(self.default, Mapping) else type(self.default)
        if type(value) is not kind:
            return f"{self.name} must be {_TYPE_NAMES[kind]}, not {value!r}"
        if isinstance(value, int) and value < self.least:
            return f"{self.name} must not be less than {self.least}, and is {value}"
        if isinstance(value, int) and self.most is not None and value > self.most:
            return f"{self.name} must not be more than {self.most}, and is {value}"
        if self.choices and value not in self.choices:
            return f"{self.name} must be {' or '.join(map(repr, self.choices))}, not {value!r}"
        return None

    def shown(self, value: Any) -> Any:
        """A value as it may be shown to anybody."""
        if isinstance(value, Mapping):
            return {
                name: "(hidden)" if name in self.secrets else self.shown(item)
                for name, item in value.items()
            }
        return [self.shown(item) for item in value] if isinstance(value, list) else value


_DAEMON: Final = (
    Key("metrics_address", "", "host:port that serves /metrics and /healthz"),
    Key("no_prometheus", default=False, meaning="serve no metrics, whatever metrics_address says"),
    Key("debug_address", "", "unix socket that serves what the daemon is doing, under /debug/"),
    Key("snapshotter.allow_invalid_mounts_on_restart", default=False,
        idle="a layer that cannot be restored never keeps the daemon from starting"),
    Key("fuse_manager.enable", default=False, idle="layers are always served by a process of its own"),
    Key("fuse_manager.address", "", idle="the fs server's socket is <root>/fs.sock"),
    Key("fuse_manager.path", "", idle="the fs server is part of this program"),
    Key("fuse_manager.metrics_address", "", idle="metrics_address serves the metrics of both processes"),
)  # fmt: skip
_CRI: Final = (
    Key(
        "cri_keychain.enable_keychain",
        default=False,
        meaning="be an image service to the kubelet, hand on what it asks, and use the credentials of its pulls",
    ),
    Key(
        "cri_keychain.image_service_path",
        "/run/containerd/containerd.sock",
        "socket of the real image service, containerd's",
    ),
    Key(
        "cri_keychain.seal_key_path",
        "",
        "file of the key that seals these credentials on disk, made if it is not there; they are kept in memory only, if empty",
    ),
    Key(
        "cri_keychain.seal_max_age_hours",
        720,
        "hours after which sealed credentials are forgotten, unless they were passed again",
        least=1,
    ),
    Key(
        "kubeconfig_keychain.enable_keychain",
        default=False,
        meaning="read the image pull secrets of all namespaces from the API server, and watch them",
    ),
    Key(
        "kubeconfig_keychain.kubeconfig_path",
        "",
        "kubeconfig that names the API server; $KUBECONFIG, ~/.kube/config or a pod's service account, if empty",
    ),
    Key(
        "cri_keychain.listen_path",
        "",
        "socket of the image service; the one that containerd connects to, if empty",
    ),
)
_FILLING: Final = (
    Key("cache.max_bytes", 0, "bytes of disk that content may take; half of the disk, if 0"),
    Key("fs.backend", "auto", "who shows layers: the kernel (erofs), the fs server (fuse), or what this machine can do (auto); read when the fs server starts",
        choices=("auto", "erofs", "fuse")),
    Key("noprefetch", default=False, meaning="do not fetch ahead what an image says will be read first"),
    Key("prefetch_size", 0, "bytes fetched ahead of layers for which neither landmark nor client says so"),
    Key("prefetch_timeout_sec", 0, "seconds that the creation of a container waits at most for what is fetched ahead; it does not, if 0",
        most=MAX_WAIT_SECONDS),
    Key("prefetch_async_size", 0, "it never waits for layers of which more bytes are fetched ahead; no limit, if 0"),
    Key("no_background_fetch", default=False, meaning="fetch only what is read"),
    Key("max_concurrency", 2, "layers that are completed in the background at a time"),
)  # fmt: skip
_FETCHING: Final = (
    Key("blob.valid_interval", 60, idle="no requests are made to find out whether requests can be made"),
    Key("blob.check_always", default=False, idle="no requests are made to find out whether requests can be made"),
    Key("blob.chunk_size", 50000, idle=_CHUNKS),
    Key("blob.prefetch_chunk_size", 0, idle=_CHUNKS),
    Key("blob.fetching_timeout_sec", 300, "seconds after which nothing is tried again; an answer that keeps coming is never cut", least=1),
    Key("blob.force_single_range_mode", default=False, idle="every request is for one range"),
    Key("blob.max_retries", 5, "how often a request is tried again"),
    Key("blob.min_wait_msec", 30, "milliseconds before a request is tried again"),
    Key("blob.max_wait_msec", 300000, "milliseconds that no such pause exceeds"),
    Key("blob.max_mbit_per_sec", 0, "megabits a second that are fetched at most, by all layers together; 0 for no limit"),
    Key("resolver.request_timeout_sec", 30, "seconds that a registry may stay silent"),
    Key("resolver.host", {}, "mirrors of registries, asked before what registry.config_path says", secrets=("header",)),
    Key("registry.config_path", "/etc/containerd/certs.d:/etc/docker/certs.d", "directories of HOST/hosts.toml, as containerd's; looked at again while running"),
    Key("registry.configs", {}, "logins of hosts, as containerd's [registry.configs.HOST.auth]", secrets=("auth",)),
    Key("registry.credential_files", "", "files like docker's config.json, asked before the user's own; with colons between them"),
    Key("credential_provider.config", "", "the kubelet's CredentialProviderConfig (its --image-credential-provider-config)"),
    Key("credential_provider.bin_dir", "", "where the programs are that it names (its --image-credential-provider-bin-dir)"),
    Key("registry.mirrors", {}, idle="outdated in containerd too: use registry.config_path or resolver.host"),
    Key("ipfs", default=False, idle="images come from registries only"),
)  # fmt: skip
_IDLE: Final = (
    Key("metadata_store", "memory", idle=_KEPT_ON_DISK, choices=("memory", "db")),
    Key("http_cache_type", "", idle=_ONE_COPY, choices=("", "directory", "memory")),
    Key("filesystem_cache_type", "", idle=_ONE_COPY, choices=("", "directory", "memory")),
    Key("resolve_result_entry_ttl_sec", 120, idle="a layer stays known until its image is removed"),
    Key("resolve_result_entry", 0, idle="a layer stays known until its image is removed"),
    Key("debug", default=False, idle="--log-level=debug tells more"),
    Key("log_file_access", default=False, idle="pyestargz optimize records which files are read"),
    Key("allow_no_verification", default=False, idle="everything is verified, whatever images and clients say"),
    Key("disable_verification", default=False, idle="everything is verified, whatever images and clients say"),
    Key("directory_cache.max_lru_cache_entry", 10, idle=_ONE_COPY),
    Key("directory_cache.max_cache_fds", 10, idle=_ONE_COPY),
    Key("directory_cache.sync_add", default=False, idle=_ONE_COPY),
    Key("directory_cache.direct", default=True, idle=_ONE_COPY),
    Key("directory_cache.fadv_dontneed", default=False, idle=_ONE_COPY),
    Key("fuse.attr_timeout", 1, idle=_IMMUTABLE),
    Key("fuse.entry_timeout", 1, idle=_IMMUTABLE),
    Key("fuse.passthrough", default=False, idle=_IMMUTABLE),
    Key("fuse.merge_buffer_size", 419430400, idle=_IMMUTABLE),
    Key("fuse.merge_worker_count", 10, idle=_IMMUTABLE),
)  # fmt: skip

KEYS: Final[Mapping[str, Key]] = {
    key.name: key for key in (*_DAEMON, *_CRI, *_FILLING, *_FETCHING, *_IDLE)
}
