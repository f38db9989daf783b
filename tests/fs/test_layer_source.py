import pytest

from fs.layer_source import LayerSource, parse_source_message
from fs.proto import control_pb2 as pb
from registry.digest import Digest
from registry.errors import ContentError
from registry.reference import Reference

_REFERENCE = Reference.parse("registry.test/image:tag")
_LAYER, _TOC, _NEIGHBOUR = (Digest.of(name) for name in (b"layer", b"toc", b"neighbour"))


@pytest.mark.parametrize(
    "source",
    [
        LayerSource(_REFERENCE, _LAYER, _TOC),
        LayerSource(_REFERENCE, _LAYER, _TOC, neighbours=(_NEIGHBOUR, _TOC), prefetch_bytes=0),
    ],
    ids=["least", "all"],
)
def test_a_source_arrives_as_it_was(source: LayerSource) -> None:
    sent = source.message().SerializeToString()
    assert parse_source_message(pb.AttachRequest.FromString(sent)) == source


def test_names_that_cannot_be_are_refused() -> None:
    message = LayerSource(_REFERENCE, _LAYER, _TOC).message()
    message.neighbours.append("sha256:short")
    with pytest.raises(ContentError, match="sha256:short"):
        parse_source_message(message)
