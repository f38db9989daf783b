"""How the client behaves towards registries."""

from dataclasses import dataclass, field

from registry.host_settings import HostSettings
from registry.keychain.credential_settings import CredentialSettings
from registry.manifest import MAX_MANIFEST_BYTES
from registry.proxies import ProxySettings


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Timeouts, retries and limits of one client.

    Attributes:
        connect_timeout_seconds: for TCP and TLS.
        inactivity_timeout_seconds: how long a server may stay silent.
        pace_bytes: what a body must bring in each period of waiting; one that does not is asked for again where it ended.
        pace_seconds: how long such a period is.
        attempts: how often a request is tried in all.
        backoff_seconds: pause before the second attempt; doubled each time, and up to doubled again by chance.
        max_backoff_seconds: no pause of ours is longer.
        max_retry_after_seconds: a server asking for a longer pause gets no further attempt; the error tells it.
        operation_timeout_seconds: after that, nothing is tried again; a body that keeps coming is never cut.
        max_bytes_per_second: how many bytes are taken from the network by all requests together; None: as many as come.
        max_manifest_bytes: larger manifests are refused.
        max_unranged_bytes: how much of a blob is read through where a server ignores the range asked for.
        upload_chunk_bytes: how large the pieces of an upload are that is too large in one.
        max_connections: how many connections may be open at a time.
        plain_http_hosts: hosts (with their ports) spoken to without TLS. Loopback hosts always are, as containerd does.
        hosts: where mirrors, certificates and the like are configured.
        credentials: where credentials are looked for.
        proxies: what requests go through; None: what the environment says.
    """

    connect_timeout_seconds: float = 10.0
    inactivity_timeout_seconds: float = 30.0
    pace_bytes: int = 16 << 10
    pace_seconds: float = 10.0
    attempts: int = 5
    backoff_seconds: float = 0.05
    max_backoff_seconds: float = 5.0
    max_retry_after_seconds: float = 30.0
    operation_timeout_seconds: float = 300.0
    max_bytes_per_second: float | None = None
    max_manifest_bytes: int = MAX_MANIFEST_BYTES
    max_unranged_bytes: int = 8 << 20
    upload_chunk_bytes: int = 32 << 20
    max_connections: int = 128
    plain_http_hosts: frozenset[str] = frozenset()
    hosts: HostSettings = field(default_factory=HostSettings)
    credentials: CredentialSettings = field(default_factory=CredentialSettings)
    proxies: ProxySettings | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts must be at least 1")
        positive = {
            "connect_timeout_seconds": self.connect_timeout_seconds,
            "inactivity_timeout_seconds": self.inactivity_timeout_seconds,
            "pace_seconds": self.pace_seconds,
            "operation_timeout_seconds": self.operation_timeout_seconds,
            "max_bytes_per_second": self.max_bytes_per_second or 1,
            "max_manifest_bytes": self.max_manifest_bytes,
            "upload_chunk_bytes": self.upload_chunk_bytes,
            "max_connections": self.max_connections,
        }
        wrong = [name for name, value in positive.items() if value <= 0]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be greater than 0")
        pauses = (self.backoff_seconds, self.max_backoff_seconds, self.max_retry_after_seconds)
        if min(*pauses, self.max_unranged_bytes) < 0:
            raise ValueError("pauses and max_unranged_bytes must not be negative")
