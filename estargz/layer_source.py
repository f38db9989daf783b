"""What is known of a layer before it is read. No I/O."""

from dataclasses import dataclass

from registry.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSource:
    """What is known of a layer before it is read.

    Attributes:
        what: how messages call it.
        digest: of the blob as it is stored.
        blob_bytes: its size.
        diff_id: digest of its uncompressed tar; of what is not a layer, its own.
        foreign: whether it is had from where its descriptor says, and not copied.
    """

    what: str
    digest: Digest
    blob_bytes: int
    diff_id: Digest
    foreign: bool = False
