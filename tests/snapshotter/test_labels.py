"""Whether a layer is lazy is decided by labels alone."""

import re

import pytest
from hypothesis import given, strategies as st

from fs.layer_source import LayerSource
from registry.digest import Digest
from registry.reference import Reference
from snapshotter.errors import InvalidLabelError
from snapshotter.labels import (
    PREFETCH,
    REMOTE,
    SOURCE_LABELS,
    TARGET,
    TOC_DIGEST,
    NotLazy,
    check_labels,
    parse_source,
)

LAYER, TOC, ABOVE = (Digest.of(text) for text in (b"layer", b"toc", b"above"))
CRI, DEFAULT = "containerd.io/snapshot/cri.", "containerd.io/snapshot/remote/stargz."
CRI_LABELS = {
    TOC_DIGEST: str(TOC),
    CRI + "image-ref": "registry.test/team/image:tag",
    CRI + "layer-digest": str(LAYER),
    CRI + "image-layers": f"{LAYER},{ABOVE},sha256:cut-o",
}
DEFAULT_LABELS = {
    TOC_DIGEST: str(TOC),
    DEFAULT + "reference": "registry.test/other:tag",
    DEFAULT + "digest": str(LAYER),
    DEFAULT + "layers": f"{ABOVE}",
}


def test_labels_of_cri() -> None:
    reference = Reference.parse("registry.test/team/image:tag")
    assert parse_source(CRI_LABELS) == LayerSource(reference, LAYER, TOC, (ABOVE,))


def test_labels_of_ctr_remote() -> None:
    reference = Reference.parse("registry.test/other:tag")
    assert parse_source(DEFAULT_LABELS) == LayerSource(reference, LAYER, TOC, (ABOVE,))


def test_those_of_cri_come_first_unless_they_are_incomplete() -> None:
    source = parse_source(DEFAULT_LABELS | CRI_LABELS)
    assert isinstance(source, LayerSource)
    assert source.reference.repository == "team/image"
    source = parse_source(DEFAULT_LABELS | {CRI + "image-ref": "registry.test/x:y"})
    assert isinstance(source, LayerSource)
    assert source.reference.repository == "other"


def test_neighbours_are_a_hint() -> None:
    for text in ("", ",,", "nonsense", f"{LAYER}"):
        source = parse_source(CRI_LABELS | {CRI + "image-layers": text})
        assert isinstance(source, LayerSource)
        assert source.neighbours == ()


@pytest.mark.parametrize(
    ("text", "size"),
    [("10485760", 10485760), ("0", 0), ("", None), ("ten", None), ("-1", None), ("9" * 20, None)],
)
def test_the_prefetch_size_is_a_hint(text: str, size: int | None) -> None:
    source = parse_source(DEFAULT_LABELS | {PREFETCH: text})
    assert isinstance(source, LayerSource)
    assert source.prefetch_bytes == size


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({TOC_DIGEST: None}, "stargz/toc.digest is missing: the image is not eStargz"),
        ({TOC_DIGEST: "sha256:x"}, "stargz/toc.digest: 'sha256:x' is not a digest"),
        ({CRI + "layer-digest": "md5:1"}, "cri.layer-digest: 'md5:1' is not a digest"),
        ({CRI + "layer-digest": None}, "cri.layer-digest is missing"),
        ({CRI + "image-ref": None}, "cri.image-ref is missing"),
        ({CRI + "image-ref": "a b"}, "cri.image-ref: .*a b"),
        ({CRI + "image-ref": None, CRI + "layer-digest": None}, "no label says which image"),
    ],
)
def test_why_a_layer_is_not_lazy(change: dict[str, str | None], reason: str) -> None:
    changed = CRI_LABELS | change
    result = parse_source({name: value for name, value in changed.items() if value is not None})
    assert isinstance(result, NotLazy)
    assert re.search(reason, result.reason)


@given(
    st.dictionaries(
        st.sampled_from(sorted(SOURCE_LABELS | {CRI + "image-layers", DEFAULT + "layers"})),
        st.text(max_size=90) | st.sampled_from([str(LAYER), f"{LAYER},{ABOVE}", "a/b:c"]),
    )
)
def test_any_labels_give_a_source_or_a_reason(labels: dict[str, str]) -> None:
    match parse_source(labels):
        case NotLazy(reason):
            assert reason
        case source:
            assert source.digest not in source.neighbours


def test_the_labels_that_find_a_layer_again() -> None:
    for labels in (CRI_LABELS, DEFAULT_LABELS):
        kept = {name: value for name, value in labels.items() if name in SOURCE_LABELS}
        source, again = parse_source(labels), parse_source(kept)
        assert isinstance(source, LayerSource)
        assert isinstance(again, LayerSource)
        assert (source.reference, source.digest) == (again.reference, again.digest)
    assert {TARGET, REMOTE} <= SOURCE_LABELS


def test_labels_have_the_limit_that_containerd_has() -> None:
    check_labels({"a": "x" * 4095, "ü": "x" * 4094})
    with pytest.raises(InvalidLabelError, match="4097 bytes"):
        check_labels({"ü": "x" * 4095})
