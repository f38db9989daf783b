import dataclasses
import os
from pathlib import Path

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import (
    BadResponseError,
    RegistryError,
)
from registry.reference import Repository
from tests.fakes.registry import FakeRegistry, Fault
from tests.registry.asking import repository_of


async def test_pushes_a_blob_after_failures_and_counts_right(fake, quick, tmp_path):
    path = Path(tmp_path / "blob")
    data = bytes(3 << 20)
    await trio.Path(path).write_bytes(data)
    fake.faults.inject(Fault.BUSY, kinds=("upload",))
    sent: list[int] = []
    async with RegistryClient(quick) as client:
        await client.push_blob(repository_of(fake), Digest.of(data), path, on_progress=sent.append)
        assert client.statistics().bytes_sent == len(data)
    assert sum(sent) == len(data)
    assert fake.state.blobs["some/image", str(Digest.of(data))] == data


async def test_a_file_that_is_not_its_digest_is_refused(fake, quick, tmp_path):
    path = Path(tmp_path / "blob")
    await trio.Path(path).write_bytes(b"other")
    async with RegistryClient(quick) as client:
        with pytest.raises(RegistryError) as caught:
            await client.push_blob(repository_of(fake), Digest.of(b"this"), path)
    assert (caught.value.status, caught.value.code) == (400, "DIGEST_INVALID")


async def test_an_upload_that_starts_over_takes_back_what_it_reported(fake, quick, tmp_path):
    path = Path(tmp_path / "blob")
    data = bytes(3 << 20)
    await trio.Path(path).write_bytes(data)
    # The question for the place goes well, the upload itself does not, and nothing of it is kept.
    fake.faults.inject(Fault.BUSY, kinds=("upload",), after=1)
    sent: list[int] = []
    async with RegistryClient(quick) as client:
        await client.push_blob(repository_of(fake), Digest.of(data), path, on_progress=sent.append)
    assert min(sent) == -len(data)
    assert sum(sent) == len(data)


async def test_an_upload_to_nowhere_is_refused(fake, quick, tmp_path):
    fake.state.upload_location = "ftp://127.0.0.1/"
    path = Path(tmp_path / "blob")
    await trio.Path(path).write_bytes(b"x")
    async with RegistryClient(quick) as client:
        with pytest.raises(BadResponseError, match="where to upload"):
            await client.push_blob(repository_of(fake), Digest.of(b"x"), path)


async def test_tokens_stay_with_the_registry_when_uploads_go_elsewhere(fake, quick, tmp_path):
    fake.require_token = True
    fake.state.upload_location = f"http://{fake.cdn_host}/elsewhere"
    path = Path(tmp_path / "blob")
    await trio.Path(path).write_bytes(b"x")
    async with RegistryClient(dataclasses.replace(quick, attempts=1)) as client:
        with pytest.raises(BadResponseError):
            await client.push_blob(repository_of(fake), Digest.of(b"x"), path)
    assert [record.authorization for record in fake.requests if record.kind == "cdn"] == [""]


async def test_an_upload_goes_on_where_it_broke_off(fake, quick, tmp_path):
    path = Path(tmp_path / "blob")
    data = os.urandom(3 << 20)
    await trio.Path(path).write_bytes(data)
    fake.faults.inject(Fault.UPLOAD_CUT, kinds=("upload",))
    sent: list[int] = []
    async with RegistryClient(quick) as client:
        await client.push_blob(repository_of(fake), Digest.of(data), path, on_progress=sent.append)
    assert fake.state.blobs["some/image", str(Digest.of(data))] == data
    assert sum(sent) == len(data)
    assert _uploads(fake) == [
        ("POST", 202),
        ("PUT", 0),
        ("GET", 204),
        ("PATCH", 202),
        ("PUT", 201),
    ]


async def test_an_upload_that_was_forgotten_starts_over(fake, quick, tmp_path):
    path = Path(tmp_path / "blob")
    data = os.urandom(3 << 20)
    await trio.Path(path).write_bytes(data)
    fake.faults.inject(Fault.UPLOAD_CUT, kinds=("upload",))
    fake.state.uploads = _Forgetful()
    async with RegistryClient(quick) as client:
        await client.push_blob(repository_of(fake), Digest.of(data), path)
    assert fake.state.blobs["some/image", str(Digest.of(data))] == data
    assert [status for _, status in _uploads(fake)] == [202, 0, 404, 202, 201]


class _Forgetful(dict[str, bytes]):
    def __setitem__(self, name: str, received: bytes) -> None:
        if not received:
            super().__setitem__(name, received)
        else:
            self.pop(name, None)


async def test_what_is_too_large_in_one_goes_in_chunks(fake, quick, tmp_path):
    path = Path(tmp_path / "blob")
    data = os.urandom((2 << 20) + 1)
    await trio.Path(path).write_bytes(data)
    fake.faults.inject(Fault.TOO_LARGE, kinds=("upload",), after=1)
    settings = dataclasses.replace(quick, upload_chunk_bytes=1 << 20)
    sent: list[int] = []
    async with RegistryClient(settings) as client:
        await client.push_blob(repository_of(fake), Digest.of(data), path, on_progress=sent.append)
    assert fake.state.blobs["some/image", str(Digest.of(data))] == data
    assert sum(sent) == len(data)
    assert [method for method, _ in _uploads(fake)[2:]] == ["POST", *["PATCH"] * 3, "PUT"]


def _uploads(fake: FakeRegistry) -> list[tuple[str, int]]:
    return [(record.method, record.status) for record in fake.requests if record.kind == "upload"]


async def test_a_blob_of_another_repository_is_mounted(fake, quick):
    fake.require_token = True
    digest = fake.add_blob("other/image", b"there already")
    other = repository_of(fake, "other/image")
    async with RegistryClient(quick) as client:
        assert await client.mount_blob(repository_of(fake), digest, source=other)
        assert await client.blob_exists(repository_of(fake), digest) == len(b"there already")
        assert client.statistics().bytes_sent == 0
    assert fake.state.scopes_asked[0] == [
        "repository:some/image:pull,push",
        "repository:other/image:pull",
    ]


@pytest.mark.parametrize("how", ["declined", "refused", "elsewhere"])
async def test_what_cannot_be_mounted_is_said(fake, quick, how):
    fake.state.mounts = False
    if how == "refused":
        fake.state.require_login = True
    host = "elsewhere.test" if how == "elsewhere" else fake.host
    async with RegistryClient(quick) as client:
        source = Repository(host, "other/image")
        assert not await client.mount_blob(repository_of(fake), Digest.of(b"x"), source=source)


async def test_a_registry_that_fails_is_no_reason_to_push(fake, quick):
    fake.faults.inject(Fault.BROKEN, kinds=("upload",), times=99)
    other = repository_of(fake, "other/image")
    async with RegistryClient(dataclasses.replace(quick, attempts=2)) as client:
        with pytest.raises(RegistryError, match="500"):
            await client.mount_blob(repository_of(fake), Digest.of(b"x"), source=other)
