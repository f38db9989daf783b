from pathlib import Path

import pytest

from estargz.errors import DigestMismatchError, NotEstargzError
from estargz.toc_reading import read_toc
from registry.digest import Digest
from tests.estargz.blobs import write_blob
from tests.estargz.layouts import Layout, store
from tests.strategies import Node, build_tar

_WRITTEN = write_blob(build_tar([Node(name="a", content=b"a")]))


async def test_a_toc_out_of_a_store(tmp_path: Path) -> None:
    digest = Digest.parse(Layout(tmp_path).add_blob(_WRITTEN.data))
    opened = await read_toc(store(tmp_path), digest, expected=_WRITTEN.finished.toc_digest)
    assert [entry.name for entry in opened.toc.entries] == [".no.prefetch.landmark", "a"]
    assert 0 < opened.payload_bytes < len(_WRITTEN.data)
    with pytest.raises(DigestMismatchError):
        await read_toc(store(tmp_path), digest, expected=digest)


async def test_an_ordinary_layer(tmp_path: Path) -> None:
    digest = Digest.parse(Layout(tmp_path).add_blob(b"x" * 1000))
    with pytest.raises(NotEstargzError):
        await read_toc(store(tmp_path), digest, expected=digest)
