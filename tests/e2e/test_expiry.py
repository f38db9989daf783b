"""What a pull was given expires while its container runs: tokens, signed URLs, and the registry process itself."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import Node
from tests.e2e.ctr import Conversation
from tests.e2e.published_image import PublishedImage
from tests.e2e.reader_program import ARGV, digest
from tests.e2e.specimens import big_file
from tests.nginx import free_port
from tests.real_registry import RealRegistry, RegistrySetup
from tests.signed_storage import SignedStorage
from tests.token_server import TokenServer

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_TOKEN_SECONDS = 2
_nothing_happens = threading.Event()


@dataclass(frozen=True, slots=True)
class Guarded:
    """A registry that wants tokens, and has its blobs behind signed URLs; both live for a moment."""

    realm: TokenServer
    registry: RealRegistry
    storage: SignedStorage

    def urls_refused(self) -> int:
        """How many signed URLs were refused so far."""
        return sum(line.startswith("403 GET") for line in self.storage.storage_requests())


@pytest.fixture
def guarded(registry: RealRegistry, lazy_name: str, tmp_path: Path) -> Iterator[Guarded]:
    """The same content as the session's registry."""
    del lazy_name  # it is in there
    (tmp_path / "registry-storage").symlink_to(registry.storage)
    with TokenServer(tmp_path, lifetime_seconds=_TOKEN_SECONDS) as realm:
        setup = RegistrySetup(token_realm=realm, address=f"127.0.0.1:{free_port()}")
        with (
            RealRegistry(tmp_path, setup=setup) as guarded,
            SignedStorage(guarded, tmp_path / "nginx", lifetime_seconds=1) as storage,
        ):
            yield Guarded(realm, guarded, storage)


def test_a_container_reads_on_when_all_it_was_given_has_expired(
    node: Node, guarded: Guarded, lazy_name: str
) -> None:
    name = PublishedImage(lazy_name).through(guarded.storage.host)
    node.ctr.rpull(name)
    with Conversation(node.ctr, name, ARGV, snapshotter="stargz") as container:
        assert container.ask("/specimens/content/one-byte") == digest(b"x")
        tokens, refused = len(guarded.realm.scopes), guarded.urls_refused()

        _wait_for_expiry()
        assert container.ask("/specimens/rewritten") == digest(b"second version\n")
        # The URL was refused, so the registry was asked, which refused the token.
        assert guarded.urls_refused() > refused
        assert len(guarded.realm.scopes) == tokens + 1
        assert 401 in [status for _, _, status in guarded.storage.front_requests()[-3:]]

        _wait_for_expiry()
        guarded.registry.__exit__(None, None, None)
        guarded.registry.__enter__()
        assert container.ask("/specimens/content/big") == digest(big_file())
    assert not [line for line in node.snapshotter.fs_log() if "chunk unavailable" in line]


def _wait_for_expiry() -> None:
    """Until nothing that was given before is good any more: that is a matter of the clock alone."""
    expired = time.time() + _TOKEN_SECONDS + 1
    while (left := expired - time.time()) > 0:
        _nothing_happens.wait(left)
