import os

import pytest

from estargz.errors import NotEstargzError
from estargz.opening import DEFAULT_TAIL_BYTES, extract_toc
from estargz.toc import LAYER_DIGEST_ANNOTATION
from fs.layer_blob import LayerBlob
from fs.node_traffic import NodeTraffic
from fs.request_planning import tail_bytes
from registry.client import RegistryClient
from registry.manifest import Descriptor, Manifest, dump_manifest
from registry.reference import Reference
from tests.fakes.registry import FakeRegistry, Fault
from tests.fs.in_process import QUICK, REPOSITORY, push
from tests.fs.layers_by_hand import HandmadeBlob, entry


@pytest.mark.parametrize(
    ("entries", "requests", "link_seconds"),
    [(10, 1, 0.0), (3000, 1, 0.0), (6000, 2, 0.0), (3000, 2, 0.1)],
    ids=["small", "usual", "large", "usual, on a slow line"],
)
async def test_the_toc_comes_in_one_request_unless_it_is_large(
    entries: int, requests: int, link_seconds: float
) -> None:
    blob = HandmadeBlob()
    blob.entries += [entry(os.urandom(60).hex(), mode=number) for number in range(entries)]
    with FakeRegistry() as fake:
        source = push(blob, fake)
        async with RegistryClient(QUICK) as client:
            layer = LayerBlob(client, source.reference, source.digest, NodeTraffic())
            if link_seconds:
                layer.link.saw_first_byte(link_seconds)
                layer.link.saw_body(1 << 20, 100 * link_seconds)
            found = await layer.find_toc()
        assert fake.count("blob") == requests
    extract_toc(found, expected=source.toc_digest)
    assert found.blob_bytes == len(blob.data)
    is_long = len(found.compressed) > (DEFAULT_TAIL_BYTES if link_seconds else tail_bytes(0))
    assert is_long == (requests > 1)
    assert layer.statistics().requests == requests


async def test_a_toc_may_be_in_an_image_of_its_own() -> None:
    blob = HandmadeBlob()
    blob.add_file("file", b"content")
    toc_digest, compressed = blob.finish_without_toc()
    with FakeRegistry() as fake:
        digest = fake.add_blob(REPOSITORY, bytes(blob.data))
        toc_blob = fake.add_blob(REPOSITORY, compressed)
        config = fake.add_blob(REPOSITORY, b"{}")
        layer_type = "application/vnd.oci.image.layer.v1.tar+gzip"
        toc_layer = Descriptor(
            layer_type,
            toc_blob,
            len(compressed),
            annotations={LAYER_DIGEST_ANNOTATION: str(digest)},
        )
        manifest = Manifest(
            "application/vnd.oci.image.manifest.v1+json",
            Descriptor("application/vnd.oci.image.config.v1+json", config, 2),
            (toc_layer,),
        )
        fake.add_manifest(REPOSITORY, "1-esgztoc", dump_manifest(manifest), manifest.media_type)
        reference = Reference.parse(f"{fake.host}/{REPOSITORY}:1")
        async with RegistryClient(QUICK) as client:
            found = await LayerBlob(client, reference, digest, NodeTraffic()).find_toc()
    extract_toc(found, expected=toc_digest)
    assert found.blob_bytes == len(blob.data)


async def test_what_is_streamed_is_counted() -> None:
    blob = HandmadeBlob()
    blob.add_file("file", os.urandom(100_000))
    with FakeRegistry() as fake:
        source = push(blob, fake)
        async with RegistryClient(QUICK) as client:
            layer = LayerBlob(client, source.reference, source.digest, NodeTraffic())
            async with layer.stream(start=100, length=50_000) as pieces:
                data = b"".join([piece async for piece in pieces])
    assert data == blob.data[100:50_100]
    assert layer.statistics().bytes_received == 50_000


async def test_servers_that_ignore_ranges_are_read_all_the_same() -> None:
    blob = HandmadeBlob()
    blob.add_file("file", b"content")
    with FakeRegistry() as fake:
        source = push(blob, fake)
        fake.faults.inject(Fault.SUFFIX_IGNORED)
        async with RegistryClient(QUICK) as client:
            found = await LayerBlob(
                client, source.reference, source.digest, NodeTraffic()
            ).find_toc()
    extract_toc(found, expected=source.toc_digest)


async def test_an_ordinary_layer_is_known_by_its_end() -> None:
    with FakeRegistry() as fake:
        source = push(HandmadeBlob(), fake)
        digest = fake.add_blob(REPOSITORY, os.urandom(1000))
        async with RegistryClient(QUICK) as client:
            with pytest.raises(NotEstargzError):
                await LayerBlob(client, source.reference, digest, NodeTraffic()).find_toc()
