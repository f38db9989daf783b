import dataclasses
from pathlib import Path

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import (
    BadResponseError,
    RegistryError,
)
from tests.fakes.registry import Fault
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
    # The question for the place goes well, the upload itself does not.
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
