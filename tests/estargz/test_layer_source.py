from estargz.layer_source import LayerSource
from registry.digest import Digest


def test_equal_when_all_is_equal() -> None:
    digest = Digest.of(b"")
    first = LayerSource(what="layer", digest=digest, blob_bytes=1, diff_id=digest)
    assert first == LayerSource(what="layer", digest=digest, blob_bytes=1, diff_id=digest)
    assert first != LayerSource(what="layer", digest=digest, blob_bytes=2, diff_id=digest)
    assert len({first, first}) == 1
