"""What needs no containerd; the rest is tested end to end."""

from pathlib import Path

import pytest

from estargz.image_reading import SourceManifest
from registry.digest import Digest
from registry.manifest import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest
from snapshotter.sampling.ctr_client import Ctr
from snapshotter.sampling.sample_container import Limits
from snapshotter.sampling.sample_root import SampleRootError, Unpacking
from snapshotter.sampling.sample_run import _read_table, record_sample
from snapshotter.sampling.sample_spec import RunOptions


def test_tables_of_the_image_are_read_in_the_image_only(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_bytes(b"root:x:0:0\xff")
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert _read_table(tmp_path / "passwd") == "root:x:0:0\N{REPLACEMENT CHARACTER}"
    assert _read_table(tmp_path / "link") == ""
    assert _read_table(tmp_path / "missing") == ""
    assert _read_table(tmp_path / "passwd" / "below") == ""


async def test_an_image_without_layers_is_not_run() -> None:
    config = Descriptor(OCI_CONFIG, Digest.of(b"{}"), 2)
    manifest = Manifest(OCI_MANIFEST, config, ())
    image = SourceManifest(Digest.of(b""), "", manifest, b"{}", ())
    unpacking = Unpacking(ctr=Ctr("/s", "n"), snapshotter="overlayfs", name="", plain_http=False)
    limits = Limits(period_seconds=1, wait_on_line="", on_output=lambda _: None)
    with pytest.RaisesGroup(SampleRootError):
        await record_sample(image, unpacking, RunOptions(), limits, chunk_bytes=4 << 20)
