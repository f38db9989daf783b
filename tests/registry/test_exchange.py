import dataclasses

import pytest

from registry.client import RegistryClient
from registry.errors import (
    BadResponseError,
    RateLimitedError,
    RegistryError,
    UnreachableError,
)
from tests.fakes.registry import FakeRegistry, Fault
from tests.registry.asking import DATA, read_all_tails, read_tail, repository_of


async def test_ten_layers_behind_tokens_and_redirects_cost_two_requests_each(fake, quick):
    fake.require_token = fake.redirects = True
    digests = [fake.add_blob("some/image", bytes([number]) * 100) for number in range(10)]
    async with RegistryClient(quick) as client:
        await read_all_tails(client, repository_of(fake), digests)
        assert (fake.count("token"), fake.count("blob"), fake.count("cdn")) == (1, 11, 10)
        await read_all_tails(client, repository_of(fake), digests)
    # The second time, the redirects are known.
    assert (fake.count("token"), fake.count("blob"), fake.count("cdn")) == (1, 11, 20)


async def test_nothing_of_ours_reaches_the_redirect_target(fake, quick):
    fake.require_token = fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await client.read_range(repository_of(fake), digest, start=0, length=5)
        await client.read_range(repository_of(fake), digest, start=5, length=5)
    assert {record.authorization for record in fake.requests if record.kind == "cdn"} == {""}


async def test_an_expired_redirect_is_found_anew(fake, quick):
    fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await client.read_range(repository_of(fake), digest, start=0, length=5)
        fake.expire_redirects()
        got = await client.read_range(repository_of(fake), digest, start=0, length=5)
        assert client.statistics().retries == 0
    assert got.data == DATA[:5]
    assert [record.status for record in fake.requests] == [307, 206, 403, 307, 206]


async def test_a_url_that_says_when_it_expires_is_not_tried_in_vain(fake, quick, mock_clock):
    fake.redirects = True
    fake.state.signed_for = "&X-Amz-Date=20000101T000000Z&X-Amz-Expires=60"
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        for seconds in (0, 30, 28, 2):
            mock_clock.jump(seconds)
            await client.read_range(repository_of(fake), digest, start=0, length=5)
    assert [record.status for record in fake.requests] == [307, 206, 206, 206, 307, 206]


async def test_a_target_that_answers_wrongly_is_forgotten(fake, quick):
    fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await client.read_range(repository_of(fake), digest, start=0, length=5)
        fake.faults.inject(Fault.OTHER_RANGE)
        await client.read_range(repository_of(fake), digest, start=0, length=5)
    assert [record.kind for record in fake.requests] == ["blob", "cdn", "cdn", "blob", "cdn"]


async def test_a_target_that_never_works_is_not_a_question_of_login(fake, quick):
    fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(dataclasses.replace(quick, attempts=2)) as client:
        fake.state.signatures = _NoSignatures()
        with pytest.raises(BadResponseError) as caught:
            await client.read_range(repository_of(fake), digest, start=0, length=5)
    assert (caught.value.host, caught.value.status) == (fake.cdn_host, 403)
    assert "signature" not in str(caught.value)


class _NoSignatures(set[str]):
    def __contains__(self, _signature: object) -> bool:
        return False


async def test_a_size_is_found_though_the_redirect_is_not_for_head(fake, quick):
    fake.redirects = fake.state.head_redirect_refused = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(dataclasses.replace(quick, attempts=1)) as client:
        assert await client.blob_exists(repository_of(fake), digest) == len(DATA)


@pytest.mark.parametrize("fault", [Fault.OTHER_RANGE, Fault.SHORT_BODY, Fault.BUSY, Fault.HUNG_UP])
async def test_temporary_faults_are_tried_again(fake, quick, fault):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(fault, times=quick.attempts - 1)
    async with RegistryClient(quick) as client:
        got = await client.read_range(repository_of(fake), digest, start=1, length=1000)
        assert client.statistics().retries == quick.attempts - 1
    assert got.data == DATA[1:1001]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.OTHER_RANGE, BadResponseError),
        (Fault.SHORT_BODY, BadResponseError),
        (Fault.BUSY, RegistryError),
        (Fault.BROKEN, RegistryError),
        (Fault.RATE_LIMITED, RateLimitedError),
        (Fault.HUNG_UP, UnreachableError),
    ],
)
async def test_lasting_faults_end_in_an_error_that_says_so(fake, quick, fault, error):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(fault, times=99)
    async with RegistryClient(dataclasses.replace(quick, attempts=2)) as client:
        with pytest.raises(error) as caught:
            await client.read_range(repository_of(fake), digest, start=0, length=2)
    assert caught.value.host == fake.host
    assert caught.value.retryable
    assert str(caught.value).isprintable()
    assert fake.count("blob") == 2


async def test_a_long_pause_asked_for_is_told_not_waited(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.retry_after = "3600"
    fake.faults.inject(Fault.RATE_LIMITED)
    async with RegistryClient(quick) as client:
        with pytest.raises(RateLimitedError, match="again in 3600 s") as caught:
            await client.read_range(repository_of(fake), digest, start=0, length=1)
    assert caught.value.retry_after_seconds == 3600
    assert fake.count("blob") == 1


async def test_nobody_listening_is_unreachable(quick):
    with FakeRegistry() as gone:
        repository = repository_of(gone)
    async with RegistryClient(quick) as client:
        with pytest.raises(UnreachableError, match="Connection refused") as caught:
            await client.fetch_manifest(repository, "latest")
    assert caught.value.status is None


async def test_a_remembered_target_that_is_gone_is_found_anew(fake, quick):
    fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)
        fake.faults.inject(
            Fault.HUNG_UP, kinds=("cdn",), times=2
        )  # a kept connection may end: that is no fault
        await read_tail(client, repository_of(fake), digest)
        assert client.statistics().retries == 0
    assert [record.kind for record in fake.requests] == ["blob", *["cdn"] * 3, "blob", "cdn"]


@pytest.mark.parametrize(
    ("target", "reason", "requests"),
    [("ftp://127.0.0.1/", "a redirect to nowhere", 1), ("", "too many redirects", 6)],
)
async def test_redirects_that_lead_nowhere(fake, quick, target, reason, requests):
    fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    fake.state.redirect_to = target or f"/v2/some/image/blobs/{digest}"
    async with RegistryClient(dataclasses.replace(quick, attempts=1)) as client:
        with pytest.raises(BadResponseError, match=reason):
            await read_tail(client, repository_of(fake), digest)
    assert len(fake.requests) == requests


async def test_a_redirect_inside_the_registry_keeps_the_token(fake, quick):
    fake.require_token = fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    fake.state.redirect_to = f"/v2/some/image/blobs/{digest}?again"
    async with RegistryClient(dataclasses.replace(quick, attempts=1)) as client:
        with pytest.raises(BadResponseError, match="too many"):
            await read_tail(client, repository_of(fake), digest)
    assert [record.status for record in fake.requests] == [401, 200, *[307] * 6]
