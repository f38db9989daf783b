import gzip
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from estargz.layer_pipeline import LayerPipeline
from estargz.layer_source import LayerSource
from estargz.planning import WriterOptions
from estargz.progress import Event
from registry.digest import Digest
from tests.estargz.layouts import Layout, store
from tests.strategies import Node, build_tar


def _layer(layout: Layout, seed: int) -> LayerSource:
    content = random.Random(seed).randbytes(2 << 20)
    tar = build_tar([Node(name=f"file{seed}", content=content)])
    blob = gzip.compress(tar, 1)
    digest = Digest.parse(layout.add_blob(blob))
    return LayerSource(
        what=f"layer {digest}", digest=digest, blob_bytes=len(blob), diff_id=Digest.of(tar)
    )


async def test_many_layers_pass_with_few_files_on_disk_at_a_time(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in")
    layers = [_layer(layout, seed) for seed in range(6)]
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    most_files = 0

    def look(_event: Event) -> None:
        nonlocal most_files
        most_files = max(most_files, sum(1 for _ in work.iterdir()))

    with ThreadPoolExecutor(2) as pool:
        pipeline = LayerPipeline(
            source=store(tmp_path / "in"),
            target=store(out),
            writer=WriterOptions(),
            directory=work,
            pool=pool,
            window=4,
            layers_at_once=2,
            max_layer_bytes=1 << 30,
            progress=look,
        )
        converted = await pipeline.convert(layers)
    assert list(converted) == [layer.digest for layer in layers]
    for new in converted.values():
        assert (out / "blobs" / "sha256" / new.digest.hex).stat().st_size == new.blob_bytes
    assert 1 <= most_files <= 4
    assert list(work.iterdir()) == []
