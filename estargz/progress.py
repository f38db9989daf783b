"""What a conversion tells while it goes on.

A layer is started, advances through the phases in their order, and ends with being pushed. Layers overlap; the
events of one layer are in order. The receiver is a plain function, called in the event loop's thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from estargz.image_rewriting import ConvertedLayer
from registry.digest import Digest


class Phase(Enum):
    """What is done with a layer."""

    FETCH = "fetching"
    COMPRESS = "compressing"
    PUSH = "pushing"


@dataclass(frozen=True, slots=True)
class LayerStarted:
    """Work on a layer begins; ``digest`` names it in all its events."""

    digest: Digest
    blob_bytes: int


@dataclass(frozen=True, slots=True)
class LayerAdvanced:
    """Another ``delta`` of ``total`` bytes is done in a phase; pushing may also go back."""

    digest: Digest
    phase: Phase
    delta: int
    total: int


@dataclass(frozen=True, slots=True)
class LayerFinished:
    """The new layer is ready."""

    digest: Digest
    layer: ConvertedLayer


@dataclass(frozen=True, slots=True)
class LayerPushed:
    """The target has the new layer; perhaps it had it before."""

    digest: Digest
    was_there: bool


Event = LayerStarted | LayerAdvanced | LayerFinished | LayerPushed
OnEvent = Callable[[Event], None]
