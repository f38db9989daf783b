"""Landing: from the compressed bytes of a member to verified content in the store."""

import logging

import trio

from estargz.members import decode_member
from estargz.verify import VerifiedChunk
from fs.chunk_store import ChunkStore
from fs.chunk_table import Member
from fs.layer_image import LayerImage
from registry.digest import Digest

_log = logging.getLogger(__name__)


class Landing:
    """Puts members of one layer into its store.

    Args:
        layer: the layer, for messages.
        image: what its members hold.
        store: where content is kept.
        inline_bytes: content that is decoded at once; of more, a thread takes care.
    """

    def __init__(
        self, layer: Digest, image: LayerImage, store: ChunkStore, *, inline_bytes: int
    ) -> None:
        self._layer = layer
        self._chunks = image.chunks
        self._codec = image.codec
        self._store = store
        self._inline_bytes = inline_bytes
        self._disk_error = ""

    def __repr__(self) -> str:
        return f"<Landing {self._layer}>"

    def is_quick(self, member: Member) -> bool:
        """Whether a member is decoded at once, without a thread."""
        return sum(self._chunks.sizes[index] for index in member.chunks) <= self._inline_bytes

    async def put(self, member: Member, data: bytes) -> dict[int, VerifiedChunk]:
        """Decodes, verifies and keeps a member; gives its chunks if the disk would not take them all.

        Raises:
            CorruptMemberError: the bytes cannot be decoded.
            DigestMismatchError: they hold something else.
        """
        if self.is_quick(member):
            unkept = self._decode_and_write(member, data)
        else:
            # A thread cannot be stopped, and what it brings would be fetched again.
            with trio.CancelScope(shield=True):
                unkept = await trio.to_thread.run_sync(self._decode_and_write, member, data)
        if not unkept:
            self._store.mark_present(member.chunks)
        return unkept

    def _decode_and_write(self, member: Member, data: bytes) -> dict[int, VerifiedChunk]:
        spans = [self._chunks.inner_span(index) for index in member.chunks]
        contents = decode_member(data, spans, blob_offset=member.start, codec=self._codec)
        chunks = {
            index: VerifiedChunk(f"chunk {index}", self._chunks.digest(index), content)
            for index, content in zip(member.chunks, contents, strict=True)
        }
        try:
            for index, chunk in chunks.items():
                self._store.write(index, chunk)
        except OSError as error:
            self._tell_kept(error)
            return chunks
        self._tell_kept(None)
        return {}

    def _tell_kept(self, error: OSError | None) -> None:
        """Says, once each time it changes, whether content can be kept."""
        reason = "" if error is None else str(error)
        if reason != self._disk_error:
            self._disk_error = reason
            fields = {"layer": str(self._layer), "error": reason}
            if error is None:
                _log.info("content is kept again", extra={"fields": fields})
            else:
                _log.warning("content is served but cannot be kept", extra={"fields": fields})
