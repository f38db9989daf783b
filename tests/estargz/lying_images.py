"""Lazy images whose TOC says something else than their tar."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from estargz.footer import Footer, dump_footer, parse_footer
from estargz.toc import TOC_NAME, Toc, dump_toc
from registry.digest import Digest
from registry.images import ImageStore
from tests.estargz.blobs import read_toc, write_blob
from tests.estargz.layouts import Layer, Layout


def lazy_image(
    directory: Path,
    tar: bytes,
    *,
    change_toc: Callable[[Toc], None] = lambda _toc: None,
    change_payload: Callable[[bytes], bytes] = bytes,
    diff_id: str | None = None,
) -> ImageStore:
    """An image with one lazy layer, changed after it was written; all digests but a chosen ``diff_id`` fit."""
    written = write_blob(tar)
    toc = read_toc(written.data, written.finished.toc_digest)
    toc.entries = list(toc.entries)
    change_toc(toc)
    footer = parse_footer(written.data)
    assert isinstance(footer, Footer)
    payload = change_payload(written.data[: footer.toc_offset])
    raw = dump_toc(toc)
    blob = payload + gzip.compress(_tar_of(raw), mtime=0) + dump_footer(Footer(len(payload)))
    annotations = {
        "containerd.io/snapshot/stargz/toc.digest": str(Digest.of(raw)),
        "io.containers.estargz.uncompressed-size": "1",
    }
    layer = Layer(
        tar=b"",
        blob=blob,
        diff_id=diff_id or str(Digest.of(gzip.decompress(blob))),
        extra={"annotations": annotations},
    )
    layout = Layout(directory)
    return layout.name(layout.add_image([layer]))


def _tar_of(raw: bytes) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo(TOC_NAME)
        info.size = len(raw)
        tar.addfile(info, io.BytesIO(raw))
    return output.getvalue()
