"""Which files of which layer come first: from what a user asked for, to a list for each layer. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from estargz.access_record import Access, match_patterns
from estargz.image_reading import SourceManifest
from estargz.ordering import Missing, PrefetchList
from estargz.tar_stream import clean_name
from registry.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchRequest:
    """What a user wants to come first; what no layer has is ignored."""

    accesses: tuple[Access, ...] = ()
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerPrefetch:
    """What is wanted of one layer, whether or not it has it."""

    paths: tuple[str, ...]
    patterns: tuple[str, ...]

    def choose(self, names: Iterable[str]) -> PrefetchList | None:
        """What a layer with these entries puts first; None if it has nothing of it."""
        listed = [clean_name(name) for name in names]
        known = frozenset(listed)
        chosen = dict.fromkeys(path for path in self.paths if path in known)
        chosen.update(dict.fromkeys(match_patterns(self.patterns, listed)))
        return PrefetchList(paths=tuple(chosen), missing=Missing.COLLECT) if chosen else None


def plan_prefetch(
    request: PrefetchRequest, manifests: Iterable[SourceManifest]
) -> Mapping[Digest, LayerPrefetch]:
    """Sorts what is wanted by layer.

    A record names the layer. Where it speaks of another image, and where there are only paths and patterns, every layer
    puts first what it has of them.
    """
    manifests = list(manifests)
    known = {manifest.digest for manifest in manifests}
    everywhere = [access.path for access in request.accesses if access.manifest not in known]
    planned: dict[Digest, list[str]] = {}
    for manifest in manifests:
        for position, layer in enumerate(manifest.layers):
            paths = planned.setdefault(layer.digest, list(everywhere))
            paths.extend(
                access.path
                for access in request.accesses
                if (access.manifest, access.layer_index) == (manifest.digest, position)
            )
    return {
        digest: LayerPrefetch(tuple(dict.fromkeys(paths)), request.patterns)
        for digest, paths in planned.items()
        if paths or request.patterns
    }
