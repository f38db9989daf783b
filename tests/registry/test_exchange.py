"""Tokens, redirects and retries, as a client sees them."""

import base64
import dataclasses
import json
from pathlib import Path

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import BadResponseError, CredentialsError, UnauthorizedError
from registry.reference import Repository
from tests.fakes.registry import FakeRegistry, Fault

DATA = bytes(range(256)) * 64


def _repository(fake: FakeRegistry, name: str = "some/image") -> Repository:
    return Repository(fake.host, name)


def _log_in(path: Path, host: str, user: str) -> None:
    auth = base64.b64encode(user.encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


async def _read_all_tails(
    client: RegistryClient, repository: Repository, digests: list[Digest]
) -> None:
    async with trio.open_nursery() as nursery:
        for digest in digests:
            nursery.start_soon(_read_tail, client, repository, digest)


async def _read_tail(client: RegistryClient, repository: Repository, digest: Digest) -> None:
    assert (await client.read_tail(repository, digest, length=10)).data


async def test_ten_layers_behind_tokens_and_redirects_cost_two_requests_each(fake, quick):
    fake.require_token = fake.redirects = True
    digests = [fake.add_blob("some/image", bytes([number]) * 100) for number in range(10)]
    async with RegistryClient(quick) as client:
        await _read_all_tails(client, _repository(fake), digests)
        assert (fake.count("token"), fake.count("blob"), fake.count("cdn")) == (1, 11, 10)
        await _read_all_tails(client, _repository(fake), digests)
    # The second time, the redirects are known.
    assert (fake.count("token"), fake.count("blob"), fake.count("cdn")) == (1, 11, 20)


async def test_another_repository_of_a_known_host_goes_straight_for_its_token(fake, quick):
    fake.require_token = True
    digests = [fake.add_blob(name, DATA) for name in ("first", "second")]
    async with RegistryClient(quick) as client:
        await _read_tail(client, _repository(fake, "first"), digests[0])
        await _read_tail(client, _repository(fake, "second"), digests[1])
    assert [(record.kind, record.status) for record in fake.requests] == [
        ("blob", 401),
        ("token", 200),
        ("blob", 206),
        ("token", 200),
        ("blob", 206),
    ]


async def test_nothing_of_ours_reaches_the_redirect_target(fake, quick):
    fake.require_token = fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await client.read_range(_repository(fake), digest, start=0, length=5)
        await client.read_range(_repository(fake), digest, start=5, length=5)
    assert {record.authorization for record in fake.requests if record.kind == "cdn"} == {""}


async def test_an_expired_redirect_is_found_anew(fake, quick):
    fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await client.read_range(_repository(fake), digest, start=0, length=5)
        fake.expire_redirects()
        got = await client.read_range(_repository(fake), digest, start=0, length=5)
        assert client.statistics().retries == 0
    assert got.data == DATA[:5]
    assert [record.status for record in fake.requests] == [307, 206, 403, 307, 206]


async def test_wrong_bytes_lengths_from_a_redirect_target_make_it_forgotten(fake, quick):
    fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await client.read_range(_repository(fake), digest, start=0, length=5)
        fake.faults.inject(Fault.OTHER_RANGE)
        await client.read_range(_repository(fake), digest, start=0, length=5)
    assert [record.kind for record in fake.requests] == ["blob", "cdn", "cdn", "blob", "cdn"]


async def test_a_target_that_never_works_is_not_a_question_of_login(fake, quick):
    fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(dataclasses.replace(quick, attempts=2)) as client:
        fake.state.signatures = _NoSignatures()
        with pytest.raises(BadResponseError) as caught:
            await client.read_range(_repository(fake), digest, start=0, length=5)
    assert (caught.value.host, caught.value.status) == (fake.cdn_host, 403)
    assert "signature" not in str(caught.value)


class _NoSignatures(set[str]):
    def __contains__(self, _signature: object) -> bool:
        return False


async def test_a_size_is_found_though_the_redirect_is_not_for_head(fake, quick):
    fake.redirects = fake.state.head_redirect_refused = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(dataclasses.replace(quick, attempts=1)) as client:
        assert await client.blob_exists(_repository(fake), digest) == len(DATA)


async def test_a_revoked_token_is_renewed_once_by_one(fake, quick):
    fake.require_token = True
    digests = [fake.add_blob("some/image", bytes([number]) * 100) for number in range(5)]
    async with RegistryClient(quick) as client:
        await _read_all_tails(client, _repository(fake), digests)
        fake.revoke_tokens()
        await _read_all_tails(client, _repository(fake), digests)
        assert client.statistics().tokens_fetched == 2


async def test_a_token_is_renewed_before_it_expires(fake, quick, autojump_clock):
    fake.require_token = True
    fake.state.token_lifetime_seconds = 100
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await _read_tail(client, _repository(fake), digest)
        for seconds, tokens in ((94, 1), (2, 2)):
            await trio.sleep(seconds)
            await _read_tail(client, _repository(fake), digest)
            assert fake.count("token") == tokens
    assert [record.status for record in fake.requests].count(401) == 1


async def test_the_first_to_ask_for_a_token_may_give_up(fake, quick):
    fake.require_token = True
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.HUNG_UP, kinds=("token",))
    async with RegistryClient(quick) as client, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(_read_tail, client, _repository(fake), digest)
            scope.cancel()
            await _read_tail(client, _repository(fake), digest)
        assert scope.cancelled_caught
    assert [record.status for record in fake.requests][-1] == 206


async def test_basic_credentials(fake, quick, docker_config):
    fake.state.require_login = True
    fake.state.users = {"user": "secret"}
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        with pytest.raises(UnauthorizedError, match=f"docker login {fake.host}"):
            await _read_tail(client, _repository(fake), digest)
        _log_in(docker_config, fake.host, "user:secret")
        await _read_tail(client, _repository(fake), digest)


async def test_credentials_go_to_the_token_server(fake, quick, docker_config):
    fake.require_token = True
    fake.state.users = {"user": "secret"}
    _log_in(docker_config, fake.host, "user:secret")
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await _read_tail(client, _repository(fake), digest)
    by_kind = {record.kind: record.authorization for record in fake.requests}
    assert by_kind["token"].startswith("Basic ")
    assert by_kind["blob"].startswith("Bearer ")


async def test_wrong_credentials_are_refused_without_saying_them(fake, quick, docker_config):
    fake.require_token = True
    _log_in(docker_config, fake.host, "user:hunter2")
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        with pytest.raises(UnauthorizedError, match="token server") as caught:
            await _read_tail(client, _repository(fake), digest)
    assert "hunter2" not in f"{caught.value}{caught.value!r}{vars(caught.value)}"


async def test_a_broken_docker_configuration_is_told(fake, quick, docker_config):
    fake.require_token = True
    docker_config.write_text("{")
    async with RegistryClient(quick) as client:
        with pytest.raises(CredentialsError, match="repair or remove"):
            await client.blob_exists(_repository(fake), Digest.of(b""))


@pytest.mark.parametrize("realm", ["ftp://127.0.0.1/", "http://user@127.0.0.1/", "nonsense"])
async def test_a_strange_realm_is_not_asked(fake, quick, realm):
    fake.require_token = True
    fake.state.realm = realm
    async with RegistryClient(quick) as client:
        with pytest.raises(BadResponseError):
            await client.blob_exists(_repository(fake), Digest.of(b""))
    assert fake.count("token") == 0


async def test_waiters_of_a_host_that_does_not_answer_go_on_their_own(fake, quick):
    fake.faults.inject(Fault.HUNG_UP)
    digests = [fake.add_blob("some/image", bytes([number]) * 100) for number in range(5)]
    async with RegistryClient(quick) as client:
        await _read_all_tails(client, _repository(fake), digests)
    assert fake.count("blob") == 6
