import json
from dataclasses import replace
from typing import Any

import pytest

from estargz.codec import Codec
from estargz.errors import ConversionError
from estargz.image_rewriting import (
    ConvertedLayer,
    is_artifact,
    is_attestation,
    is_foreign,
    layer_sources,
    require_image,
    rewrite_config,
    rewrite_index,
    rewrite_manifest,
)
from registry.digest import Digest
from registry.manifest import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER_FOREIGN,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
)

_A, _B, _C = (Digest.of(text) for text in (b"a", b"b", b"c"))
_CONFIG: dict[str, Any] = {
    "architecture": "arm64",
    "config": {"Env": ["A=ü"], "Labels": None},
    "history": [{"created_by": "x", "empty_layer": True}, {"created_by": "y"}],
    "rootfs": {"type": "layers", "diff_ids": [str(_A)], "future": 1},
    "unknown": {"float": 1.5, "big": 12345678901234567890, "list": [[], {}]},
}


def _descriptor(digest: Digest = _A, kind: str = OCI_LAYER_GZIP, **fields: Any) -> Descriptor:
    return Descriptor(kind, digest, 10, **fields)


def _manifest(*layers: Descriptor, kind: str = OCI_MANIFEST, config: str = OCI_CONFIG) -> Manifest:
    return Manifest(kind, _descriptor(_C, config), layers, {"made": "by hand"})


def _converted(source: Digest, new: Digest) -> ConvertedLayer:
    return ConvertedLayer(
        source_digest=source,
        source_bytes=10,
        digest=new,
        blob_bytes=20,
        diff_id=new,
        uncompressed_bytes=4096,
        toc_digest=_C,
        toc_entries=2,
    )


def test_the_config_keeps_everything_but_the_diff_ids() -> None:
    raw = json.dumps(_CONFIG).encode()
    rewritten = json.loads(rewrite_config(raw, [_B, _C]))
    assert rewritten["rootfs"] == {**_CONFIG["rootfs"], "diff_ids": [str(_B), str(_C)]}
    assert list(rewritten) == list(_CONFIG)
    assert {**rewritten, "rootfs": None} == {**_CONFIG, "rootfs": None}


def test_numbers_are_not_read_and_written_again() -> None:
    raw = b'{"n": 1.000000000000000000001E+2, "rootfs": {"diff_ids": []}}'
    assert b"1.000000000000000000001E+2" in rewrite_config(raw, [])


def test_layers_are_paired_with_their_diff_ids() -> None:
    (source,) = layer_sources(_manifest(_descriptor(_B)), json.dumps(_CONFIG).encode(), _C)
    assert (source.digest, source.diff_id, source.blob_bytes) == (_B, _A, 10)
    assert str(_B) in source.what


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"no json", "cannot be read"),
        (b"{}", "cannot be read"),
        (b'{"rootfs": {"diff_ids": ["md5:0"]}}', "cannot be read"),
        (b'{"rootfs": {"diff_ids": ["\xff"]}}', "cannot be read"),
        (b'{"rootfs": {"diff_ids": []}}', "0 layers, the manifest has 1"),
    ],
)
def test_a_config_that_speaks_of_other_layers_is_refused(config: bytes, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason) as caught:
        layer_sources(_manifest(_descriptor()), config, _B)
    assert str(_B) in caught.value.what


def test_a_docker_manifest_becomes_an_oci_one() -> None:
    layer = _descriptor(_A, DOCKER_LAYER_GZIP, urls=("https://old.example/a",), data="YQ==")
    manifest = _manifest(layer, kind=DOCKER_MANIFEST, config=DOCKER_CONFIG)
    new = rewrite_manifest(manifest, b"config", {_A: _converted(_A, _B)})
    assert (new.media_type, new.config.media_type) == (OCI_MANIFEST, OCI_CONFIG)
    assert (new.config.digest, new.config.size) == (Digest.of(b"config"), 6)
    assert new.annotations == {"made": "by hand"}
    assert new.layers == (
        Descriptor(
            OCI_LAYER_GZIP,
            _B,
            20,
            {
                "containerd.io/snapshot/stargz/toc.digest": str(_C),
                "io.containers.estargz.uncompressed-size": "4096",
            },
        ),
    )


def test_annotations_of_a_layer_are_kept_unless_they_would_be_wrong() -> None:
    annotations = {
        "mine": "kept",
        "containerd.io/snapshot/stargz/toc.digest": "old",
        "io.containers.estargz.uncompressed-size": "1",
        "io.containers.zstd-chunked.manifest-position": "1:2:3:1",
        "io.github.containers.zstd-chunked.manifest-checksum": "old",
    }
    manifest = _manifest(_descriptor(annotations=annotations))
    (layer,) = rewrite_manifest(manifest, b"{}", {_A: _converted(_A, _B)}).layers
    assert layer.annotations == {
        "mine": "kept",
        "containerd.io/snapshot/stargz/toc.digest": str(_C),
        "io.containers.estargz.uncompressed-size": "4096",
    }


def test_an_index_keeps_platforms_and_order_and_leaves_out_what_was_not_converted() -> None:
    platform = Platform("linux", "arm64", "v8")
    children = (
        _descriptor(_A, DOCKER_MANIFEST, platform=platform, annotations={"a": "b"}),
        _descriptor(_B, OCI_MANIFEST),
        _descriptor(_C, OCI_MANIFEST),
    )
    index = Index(DOCKER_INDEX, children, {"i": "x"})
    new = rewrite_index(index, {_C: b"third", _A: b"first"})
    assert rewrite_index(index, {}, unchanged={_B}).manifests == children[1:2]
    assert (new.media_type, new.annotations) == (OCI_INDEX, {"i": "x"})
    assert new.manifests == (
        Descriptor(OCI_MANIFEST, Digest.of(b"first"), 5, {"a": "b"}, platform=platform),
        Descriptor(OCI_MANIFEST, Digest.of(b"third"), 5),
    )


@pytest.mark.parametrize(
    ("manifest", "named"),
    [
        (_manifest(config="application/vnd.example+json"), "vnd.example"),
        (_manifest(_descriptor(kind="application/vnd.in-toto+json")), "in-toto"),
    ],
    ids=["artifact", "unknown"],
)
def test_what_is_no_image_is_refused(manifest: Manifest, named: str) -> None:
    with pytest.raises(ConversionError, match=named):
        require_image(manifest, _B)


def test_images_are_not_refused() -> None:
    require_image(_manifest(_descriptor(), _descriptor(kind=DOCKER_LAYER_GZIP)), _B)
    require_image(_manifest(config=DOCKER_CONFIG), _B)
    require_image(_manifest(_descriptor(kind=DOCKER_LAYER_FOREIGN)), _B)


def test_artifacts_are_told_from_images() -> None:
    assert not is_artifact(_manifest(_descriptor()))
    assert not is_artifact(_manifest(config=DOCKER_CONFIG))
    assert is_artifact(_manifest(config="application/vnd.example+json"))
    assert is_artifact(replace(_manifest(), artifact_type="text/sbom"))


def test_foreign_layers_stay_where_they_are() -> None:
    docker = replace(_descriptor(_A, DOCKER_LAYER_FOREIGN), urls=("https://a.test/layer",))
    oci = _descriptor(_C, "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd")
    assert is_foreign(docker)
    assert is_foreign(oci)
    assert not is_foreign(_descriptor())
    new = rewrite_manifest(_manifest(docker, oci), b"config", {})
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    assert new.layers == (replace(docker, media_type=kind), oci)


def test_attestations_are_known_by_their_annotation() -> None:
    assert is_attestation(
        _descriptor(annotations={"vnd.docker.reference.type": "attestation-manifest"})
    )
    assert not is_attestation(_descriptor())


def test_a_zstd_layer_says_what_it_is() -> None:
    layer = replace(_converted(_A, _B), codec=Codec.ZSTD, annotations={"x": "new"})
    stale = {"x": "old", "io.containers.zstd-chunked.manifest-checksum": "old"}
    manifest = _manifest(_descriptor(_A, annotations=stale))
    (rewritten,) = rewrite_manifest(manifest, b"{}", {_A: layer}).layers
    assert rewritten.media_type == OCI_LAYER_ZSTD
    assert rewritten.annotations["x"] == "new"
    assert "io.containers.zstd-chunked.manifest-checksum" not in rewritten.annotations
