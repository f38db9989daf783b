"""Several endpoints of one registry, over real HTTP: who is asked, for what, in which order, and with whose credentials."""

import base64
import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry.client import RegistryClient
from registry.digest import Digest
from registry.endpoint_health import BLOB_SETBACK_SECONDS, FIRST_SETBACK_SECONDS
from registry.errors import HostsError, NotFoundError, UnauthorizedError, UnreachableError
from registry.host_settings import HostSettings
from registry.manifest import OCI_MANIFEST
from registry.reference import Repository
from registry.settings import ClientSettings
from tests.fakes.registry import FakeRegistry, Fault
from tests.registry.asking import DATA

_NAME = "some/image"
_MANIFEST = b'{"a": 1}'


@dataclass(frozen=True, slots=True)
class Site:
    """A registry with two mirrors, and the client's settings to use them."""

    mirrors: tuple[FakeRegistry, FakeRegistry]
    itself: FakeRegistry
    settings: ClientSettings
    hosts_file: Path

    @property
    def repository(self) -> Repository:
        return Repository(self.itself.host, _NAME)

    def add_blob(self, data: bytes = DATA) -> Digest:
        """Stores a blob everywhere."""
        for fake in (*self.mirrors, self.itself):
            fake.add_blob(_NAME, data)
        return Digest.of(data)

    def add_manifest(self) -> Digest:
        """Stores a manifest everywhere, with the tag 1."""
        for fake in (*self.mirrors, self.itself):
            fake.add_manifest(_NAME, "1", _MANIFEST, OCI_MANIFEST)
        return Digest.of(_MANIFEST)

    def asked(self) -> list[int]:
        """How many requests the mirrors and the registry itself have got."""
        return [len(fake.requests) for fake in (*self.mirrors, self.itself)]


@pytest.fixture
def site(tmp_path: Path, quick: ClientSettings) -> Iterator[Site]:
    with ExitStack() as stack:
        first, second, itself = (stack.enter_context(FakeRegistry()) for _ in range(3))
        hosts_file = tmp_path / itself.host / "hosts.toml"
        hosts_file.parent.mkdir()
        hosts_file.write_text(
            f'[host."http://{first.host}".header]\nX-Mirror = "1"\n[host."http://{second.host}"]\n'
        )
        settings = dataclasses.replace(quick, attempts=1, hosts=HostSettings((tmp_path,)))
        yield Site((first, second), itself, settings, hosts_file)


async def _read(client: RegistryClient, site: Site, digest: Digest) -> bytes:
    return (await client.read_range(site.repository, digest, start=0, length=100)).data


async def test_the_first_mirror_is_asked_and_told_whose_content_is_meant(site):
    digest = site.add_blob()
    async with RegistryClient(site.settings) as client:
        assert await _read(client, site, digest) == DATA[:100]
    assert site.asked() == [1, 0, 0]
    assert site.mirrors[0].requests[0].namespace == site.itself.host


async def test_the_registry_itself_is_not_told(site):
    digest = site.itself.add_blob(_NAME, DATA)
    async with RegistryClient(site.settings) as client:
        await _read(client, site, digest)
    assert site.asked() == [1, 1, 1]
    assert site.itself.requests[0].namespace == ""


async def test_a_mirror_that_is_down_is_left_alone_for_a_while_and_then_used_again(
    site, mock_clock
):
    digest = site.add_blob()
    site.mirrors[0].faults.inject(Fault.HUNG_UP)
    async with RegistryClient(site.settings) as client:
        for _ in range(3):
            await _read(client, site, digest)
        assert site.asked() == [1, 3, 0]
        assert [state.base_url for state in client.endpoint_states()] == [
            f"http://{site.mirrors[0].host}/v2/"
        ]
        mock_clock.jump(FIRST_SETBACK_SECONDS)
        await _read(client, site, digest)
        assert client.endpoint_states() == ()
    assert site.asked() == [2, 3, 0]


async def test_what_a_mirror_lacks_is_not_asked_of_it_at_every_read(site, mock_clock):
    digest = site.itself.add_blob(_NAME, DATA)
    other = site.add_blob(DATA[1:])
    async with RegistryClient(site.settings) as client:
        for _ in range(3):
            await _read(client, site, digest)
        assert site.asked() == [1, 1, 3]
        await _read(client, site, other)
        assert site.asked() == [2, 1, 3]
        mock_clock.jump(BLOB_SETBACK_SECONDS)
        await _read(client, site, digest)
    assert site.asked() == [3, 2, 4]


@pytest.mark.parametrize(
    "fault", [Fault.BUSY, Fault.BROKEN, Fault.RATE_LIMITED, Fault.OTHER_RANGE, Fault.SHORT_BODY]
)
async def test_whatever_is_wrong_with_a_mirror_another_one_helps(site, fault):
    digest = site.add_blob()
    site.mirrors[0].faults.inject(fault, times=99)
    async with RegistryClient(dataclasses.replace(site.settings, attempts=2)) as client:
        assert await _read(client, site, digest) == DATA[:100]
    assert site.asked()[1] == 1


async def test_wrong_bytes_make_another_endpoint_be_asked(site):
    digest = site.add_blob()
    site.mirrors[0].redirects = True
    site.mirrors[0].faults.inject(Fault.WRONG_BYTES, times=99)
    async with RegistryClient(site.settings) as client:
        assert await _read(client, site, digest) != DATA[:100]
        assert await client.distrust(site.repository, digest)
        assert await _read(client, site, digest) == DATA[:100]
        assert not await client.distrust(site.repository, Digest.of(b"never read"))
    assert site.asked() == [2, 1, 0]


async def test_there_may_be_no_other_endpoint(site):
    itself = site.mirrors[1]
    digest = itself.add_blob(_NAME, DATA)
    repository = Repository(itself.host, _NAME)
    async with RegistryClient(site.settings) as client:
        await client.read_range(repository, digest, start=0, length=1)
        assert not await client.distrust(repository, digest)


async def test_a_manifest_with_another_digest_is_asked_of_another_endpoint(site):
    digest = site.add_manifest()
    site.mirrors[0].faults.inject(Fault.WRONG_BYTES, times=99, kinds=("manifest",))
    async with RegistryClient(dataclasses.replace(site.settings, attempts=2)) as client:
        assert (await client.fetch_manifest(site.repository, digest)).data == _MANIFEST


async def test_tags_are_asked_only_where_they_may_be(site):
    digest = site.add_manifest()
    first, second = (fake.host for fake in site.mirrors)
    site.hosts_file.write_text(
        f'[host."http://{first}"]\ncapabilities = ["pull"]\n'
        f'[host."http://{second}"]\ncapabilities = ["pull", "resolve"]\n'
    )
    async with RegistryClient(site.settings) as client:
        await client.fetch_manifest(site.repository, "1")
        assert site.asked() == [0, 1, 0]
        await client.fetch_manifest(site.repository, digest)
        assert site.asked() == [1, 1, 0]


async def test_pushes_go_to_one_place(site, tmp_path):
    first, _ = (fake.host for fake in site.mirrors)
    site.hosts_file.write_text(f'[host."http://{first}"]\ncapabilities = ["pull"]\n')
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    async with RegistryClient(site.settings) as client:
        await client.push_blob(site.repository, Digest.of(DATA), path)
    assert site.asked() == [0, 0, 3]
    assert not any(record.namespace for record in site.itself.requests)


async def test_an_action_that_no_endpoint_offers_is_told(site):
    site.hosts_file.write_text('capabilities = ["pull"]')
    async with RegistryClient(site.settings) as client:
        with pytest.raises(UnreachableError, match=r"may be used to resolve: see its hosts\.toml"):
            await client.fetch_manifest(site.repository, "1")


async def test_credentials_and_headers_go_nowhere_but_where_they_belong(site, docker_config):
    digest = site.itself.add_blob(_NAME, DATA)
    for fake in (*site.mirrors, site.itself):
        fake.require_token = True
        fake.state.users = {"user": fake.host}
    # The second mirror has no login at all.
    logins = {
        fake.host: {"auth": base64.b64encode(f"user:{fake.host}".encode()).decode()}
        for fake in (site.mirrors[0], site.itself)
    }
    docker_config.write_text(json.dumps({"auths": logins}))
    async with RegistryClient(site.settings) as client:
        await _read(client, site, digest)
    for fake, expected in ((site.mirrors[0], True), (site.mirrors[1], False), (site.itself, True)):
        basic = {r.authorization for r in fake.requests if r.authorization.startswith("Basic ")}
        secret = f"Basic {base64.b64encode(f'user:{fake.host}'.encode()).decode()}"
        assert basic == ({secret} if expected else set())
        bearer = {r.authorization for r in fake.requests if r.authorization.startswith("Bearer ")}
        assert {value.removeprefix("Bearer ") for value in bearer} <= set(fake.state.tokens)


async def test_the_error_tells_of_every_endpoint(site):
    digest = site.add_blob()
    site.mirrors[0].faults.inject(Fault.HUNG_UP, times=9)
    site.mirrors[1].faults.inject(Fault.BUSY, times=9)
    site.itself.state.require_login = True
    async with RegistryClient(site.settings) as client:
        with pytest.raises(UnauthorizedError) as caught:
            await _read(client, site, digest)
    assert [other.host for other in caught.value.others] == [fake.host for fake in site.mirrors]
    assert f"its other endpoints failed too: {site.mirrors[0].host} (" in str(caught.value)


async def test_an_outage_is_logged_once_and_so_is_its_end(site, mock_clock, caplog):
    caplog.set_level(logging.INFO)
    digest = site.add_blob()
    site.mirrors[0].faults.inject(Fault.BUSY, times=2)
    async with RegistryClient(site.settings) as client:
        for _ in range(4):
            mock_clock.jump(FIRST_SETBACK_SECONDS * 4)
            await _read(client, site, digest)
    told = [record.message for record in caplog.records if record.name == "registry.exchange"]
    assert told == [
        "registry endpoint failed",
        "registry endpoint answers again",
    ]


async def test_other_settings_hold_at_once(site):
    digest = site.add_blob()
    async with RegistryClient(site.settings) as client:
        await _read(client, site, digest)
        client.use(dataclasses.replace(site.settings, hosts=HostSettings(())))
        await _read(client, site, digest)
    assert site.asked() == [1, 0, 1]


async def test_what_nobody_has_is_not_found(site):
    async with RegistryClient(dataclasses.replace(site.settings, attempts=5)) as client:
        with pytest.raises(NotFoundError):
            await _read(client, site, Digest.of(b"nowhere"))
        assert await client.blob_exists(site.repository, Digest.of(b"nowhere")) is None
    assert site.asked() == [2, 2, 2]


async def test_a_broken_hosts_file_is_an_error_of_that_registry_alone(site):
    site.hosts_file.write_text("nonsense")
    async with RegistryClient(site.settings) as client:
        with pytest.raises(HostsError, match="repair the file"):
            await client.fetch_manifest(site.repository, "1")
        site.mirrors[0].add_manifest(_NAME, "1", _MANIFEST, OCI_MANIFEST)
        await client.fetch_manifest(Repository(site.mirrors[0].host, _NAME), "1")
