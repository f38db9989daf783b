"""Which endpoints a registry has, right now: the one place that joins all settings about hosts.

In order: the mirrors that our own configuration names for a registry, then what containerd's directories say of it, at last the
registry itself. Directories are looked at again while the daemon runs, at most every few seconds and only when a registry is asked
for something. A file that has become unusable changes nothing for a registry that was read before: the last good state stays in
force, and the error is logged once. A registry that never was readable is refused with the error, so that nobody is sent past a mirror
by a typing mistake.
"""

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import trio

from registry.endpoints import ALL_CAPABILITIES, Capability, Connection, Endpoint
from registry.errors import HostsError
from registry.host_directories import LoadedHosts, Stamp, load_hosts, read_stamp, watched_paths
from registry.host_settings import HostSettings, MirrorSettings
from registry.hosts import api_url

MIRROR_CAPABILITIES: Final = frozenset({Capability.PULL, Capability.RESOLVE})

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """What was found for one registry; ``error`` where the files cannot be used now."""

    checked_at: float
    loaded: LoadedHosts | None
    error: HostsError | None = None
    watched: dict[Path, Stamp] = field(default_factory=dict)
    outdated: bool = False

    def has_changed(self) -> bool:
        return self.outdated or any(
            read_stamp(path) != stamp for path, stamp in self.watched.items()
        )


class FixedEndpoints:
    """Endpoints of one registry that were found before; for looking at one alone."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self._endpoints = endpoints

    async def endpoints(self, registry: str) -> tuple[Endpoint, ...]:
        """Those of them that are the registry's."""
        return tuple(endpoint for endpoint in self._endpoints if endpoint.registry == registry)


class EndpointSource(Protocol):
    """Knows the endpoints of registries."""

    async def endpoints(self, registry: str) -> tuple[Endpoint, ...]:
        """The endpoints of a registry, in the order in which they should be asked; raises ``HostsError``."""


class HostLookup:
    """Finds endpoints. On trio."""

    def __init__(
        self, settings: HostSettings, *, plain_http_hosts: frozenset[str] = frozenset()
    ) -> None:
        self._settings = settings
        self._plain_http_hosts = plain_http_hosts
        self._known: dict[str, _Known] = {}
        self._lock = trio.Lock()

    def __repr__(self) -> str:
        return f"<HostLookup {len(self._known)} registries>"

    def use(self, settings: HostSettings, *, plain_http_hosts: frozenset[str]) -> None:
        """What holds from now on; of registries whose files are broken, what was known last stays in force."""
        self._settings = settings
        self._plain_http_hosts = plain_http_hosts
        for known in self._known.values():
            known.outdated = True

    async def endpoints(self, registry: str) -> tuple[Endpoint, ...]:
        """The endpoints of a registry, in the order in which they should be asked.

        Raises:
            HostsError: a file about this registry cannot be used, and never could.
        """
        return (await self.look_up(registry)).endpoints

    async def look_up(self, registry: str) -> LoadedHosts:
        """The same, with where it was found.

        Raises:
            HostsError: a file about this registry cannot be used, and never could.
        """
        known = self._known.get(registry)
        if known is None or not self._is_fresh(known):
            async with self._lock:
                known = self._known.get(registry)
                if known is None or not self._is_fresh(known):
                    known = await trio.to_thread.run_sync(
                        partial(self._look, registry, known, trio.current_time())
                    )
                    self._known[registry] = known
        if known.loaded is not None:
            return known.loaded
        assert known.error is not None  # noqa: S101 - one of the two is there
        raise known.error

    def error(self, registry: str) -> HostsError | None:
        """What is wrong now with the files about a registry, while the last good state is in force."""
        known = self._known.get(registry)
        return None if known is None else known.error

    def _is_fresh(self, known: _Known) -> bool:
        good_until = known.checked_at + self._settings.check_interval_seconds
        return not known.outdated and trio.current_time() < good_until

    def _look(self, registry: str, known: _Known | None, now: float) -> _Known:
        if known is not None and not known.has_changed():
            known.checked_at = now
            return known
        paths = self._settings.config_paths
        try:
            loaded = load_hosts(paths, default=self._registry_itself(registry))
        except HostsError as error:
            watched = watched_paths(paths, registry=registry)
            watched[error.path] = read_stamp(error.path)
            fields = {"registry": registry, "error": str(error)}
            _log.error("registry hosts cannot be read", extra={"fields": fields})
            last = None if known is None else known.loaded
            return _Known(now, last, error, watched)
        if loaded.unknown_keys:
            fields = {"directory": str(loaded.directory), "keys": ", ".join(loaded.unknown_keys)}
            _log.warning("registry hosts: keys without effect", extra={"fields": fields})
        return _Known(now, self._with_mirrors(registry, loaded), None, loaded.watched)

    def _registry_itself(self, registry: str) -> Endpoint:
        return Endpoint(registry, api_url(registry, plain_http_hosts=self._plain_http_hosts))

    def _with_mirrors(self, registry: str, loaded: LoadedHosts) -> LoadedHosts:
        mirrors = [
            self._mirror(registry, mirror) for mirror in self._settings.mirrors.get(registry, ())
        ]
        # A mirror that is the registry itself says how to reach it; then nothing else does.
        named = {endpoint.host for endpoint in mirrors}
        others = [endpoint for endpoint in loaded.endpoints if endpoint.host not in named]
        return LoadedHosts(
            (*mirrors, *others), loaded.directory, loaded.unknown_keys, loaded.watched
        )

    def _mirror(self, registry: str, mirror: MirrorSettings) -> Endpoint:
        plain = self._plain_http_hosts | ({mirror.host} if mirror.plain_http else set())
        return Endpoint(
            registry,
            api_url(mirror.host, plain_http_hosts=plain),
            Connection(inactivity_timeout_seconds=mirror.inactivity_timeout_seconds),
            MIRROR_CAPABILITIES if mirror.host != registry else ALL_CAPABILITIES,
            mirror.headers,
        )
