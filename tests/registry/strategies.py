"""Random names, digests and manifests."""

from hypothesis import strategies as st

from registry.digest import Digest
from registry.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
)
from registry.reference import Reference


def digests() -> st.SearchStrategy[Digest]:
    sizes = st.sampled_from([("sha256", 32), ("sha512", 64)])
    return sizes.flatmap(
        lambda pair: st.binary(min_size=pair[1], max_size=pair[1]).map(
            lambda raw: Digest(pair[0], raw.hex())
        )
    )


def references() -> st.SearchStrategy[Reference]:
    hosts = st.from_regex(
        r"\A(localhost|[a-z0-9]{1,9}\.[a-z]{2,5}|127\.0\.0\.1|\[::1\]|[A-Z]{1,5})(:[0-9]{1,5})?\Z"
    )
    names = st.from_regex(r"\A[a-z0-9]{1,8}([._/-][a-z0-9]{1,8}){0,4}\Z").filter(
        lambda name: "/" in name
    )
    tags = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}\Z")
    named = st.tuples(st.none() | tags, st.none() | digests()).filter(any)
    return st.builds(
        lambda host, name, pair: Reference(host, name, *pair),
        hosts,
        names,
        named,
    )


def _texts() -> st.SearchStrategy[str]:
    return st.text(max_size=20)


def _annotations() -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(_texts(), _texts(), max_size=4)


def platforms() -> st.SearchStrategy[Platform]:
    features = st.lists(_texts(), max_size=2).map(tuple)
    return st.builds(Platform, _texts(), _texts(), _texts(), _texts(), features)


def descriptors() -> st.SearchStrategy[Descriptor]:
    return st.builds(
        Descriptor,
        media_type=st.just(OCI_LAYER_GZIP) | _texts(),
        digest=digests(),
        size=st.integers(0, (1 << 63) - 1),
        annotations=_annotations(),
        urls=st.lists(_texts(), max_size=2).map(tuple),
        platform=st.none() | platforms(),
        artifact_type=_texts(),
        data=_texts(),
    )


def manifests() -> st.SearchStrategy[Manifest]:
    return st.builds(
        Manifest,
        media_type=st.sampled_from([OCI_MANIFEST, DOCKER_MANIFEST]),
        config=descriptors(),
        layers=st.lists(descriptors(), max_size=4).map(tuple),
        annotations=_annotations(),
        subject=st.none() | descriptors(),
        artifact_type=_texts(),
    )


def indexes() -> st.SearchStrategy[Index]:
    return st.builds(
        Index,
        media_type=st.sampled_from([OCI_INDEX, DOCKER_INDEX]),
        manifests=st.lists(descriptors(), max_size=4).map(tuple),
        annotations=_annotations(),
        subject=st.none() | descriptors(),
        artifact_type=_texts(),
    )
