"""Where a layer comes from: what the snapshotter reads from labels, and the fs server opens."""

from dataclasses import dataclass

from fs.proto import control_pb2 as pb
from registry.digest import Digest
from registry.reference import Reference


@dataclass(frozen=True, slots=True)
class LayerSource:
    """What names a layer, and how it is to be treated.

    Attributes:
        reference: the image that was asked for.
        digest: the layer's blob.
        toc_digest: the TOC that the manifest pins.
        neighbours: other layers of the image, likely to be asked for next.
        prefetch_bytes: how much to prefetch if no landmark says so; None leaves it to the settings.
    """

    reference: Reference
    digest: Digest
    toc_digest: Digest
    neighbours: tuple[Digest, ...] = ()
    prefetch_bytes: int | None = None

    def message(self) -> pb.AttachRequest:
        """As the control socket carries it."""
        return pb.AttachRequest(
            reference=str(self.reference),
            layer_digest=str(self.digest),
            toc_digest=str(self.toc_digest),
            neighbours=[str(neighbour) for neighbour in self.neighbours],
            prefetch_bytes=self.prefetch_bytes,
        )


def parse_source_message(message: pb.AttachRequest) -> LayerSource:
    """The source that a message carries.

    Raises:
        ContentError: it names what cannot be.
    """
    return LayerSource(
        reference=Reference.parse(message.reference),
        digest=Digest.parse(message.layer_digest),
        toc_digest=Digest.parse(message.toc_digest),
        neighbours=tuple(Digest.parse(text) for text in message.neighbours),
        prefetch_bytes=message.prefetch_bytes if message.HasField("prefetch_bytes") else None,
    )
