"""After a loss of power at any moment, the store serves only right bytes."""

import hashlib
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from estargz.codec import Codec
from estargz.toc import Toc
from estargz.verify import VerifiedChunk
from fs.chunk_store import ChunkStore
from fs.chunk_table import ChunkTable, ChunkTableBuilder
from fs.compiling import compile_layer
from fs.errors import LayerStateError
from fs.layer_directory import LayerDirectories
from tests.fs.kept_layers import keep
from tests.fs.power_loss import (
    Recorder,
    after_power_loss,
    all_losses_of_names,
    all_of,
    contents,
)
from tests.fs.test_layer_directory import LAYER, TOC, record

SIZES = [4096, 5000, 100, 4096, 9000, 1]
CONTENTS = [bytes([65 + n]) * size for n, size in enumerate(SIZES)]
CRASHES, AGAIN = 10, 2


def table() -> ChunkTable:
    builder, offset = ChunkTableBuilder(), 0
    for number, content in enumerate(CONTENTS):
        builder.append(
            data_offset=offset,
            size=len(content),
            blob_offset=number * 50,
            inner_offset=0,
            digest=hashlib.sha256(content).digest(),
        )
        offset += -(-len(content) // 4096) * 4096
    return ChunkTable(builder.pack(payload_bytes=1000, codec=Codec.GZIP))


CHUNKS = table()
DATA_BYTES = CHUNKS.data_offsets[-1] + 4096


def open_store(directory: Path) -> ChunkStore:
    return ChunkStore(directory, CHUNKS, data_bytes=DATA_BYTES)


def fetch(store: ChunkStore, number: int) -> None:
    content = memoryview(CONTENTS[number])
    store.write(number, VerifiedChunk("", CHUNKS.digest(number), content))
    store.mark_present([number])


def save(store: ChunkStore) -> None:
    progress = store.take_unsaved()
    if progress is not None:
        store.save(progress)


def evict(store: ChunkStore, size: int) -> None:
    store.punch(store.begin_eviction(size))
    store.end_eviction()


ACTIONS: st.SearchStrategy[Callable[[ChunkStore], None]] = st.one_of(
    st.integers(0, len(SIZES) - 1).map(lambda number: lambda store: fetch(store, number)),
    st.just(save),
    st.integers(1, 12_000).map(lambda size: lambda store: evict(store, size)),
)


def check(directory: Path) -> None:
    """Whatever counts as present is right."""
    store = open_store(directory)
    for number, content in enumerate(CONTENTS):
        if not store.missing([number]):
            assert store.read(CHUNKS.data_offsets[number], len(content)) == content
    store.close()


def live(directory: Path, actions: list[Callable[[ChunkStore], None]]) -> Recorder:
    """A life of the store that ends without a word."""
    recorder = Recorder(directory)
    with recorder.recording():
        store = open_store(directory)
        for act in actions:
            act(store)
        store.close()
    return recorder


@settings(max_examples=20)
@given(
    st.lists(ACTIONS, min_size=2, max_size=10),
    st.lists(ACTIONS, max_size=4),
    st.randoms(use_true_random=False),
)
def test_what_counts_as_present_is_right(
    first: list[Callable[[ChunkStore], None]],
    second: list[Callable[[ChunkStore], None]],
    randomness: random.Random,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "real").mkdir()
        recorder = live(root / "real", first)
        for crash in range(CRASHES):
            end = randomness.randrange(recorder.base, len(recorder.steps) + 1)
            lost = after_power_loss(recorder.steps[:end], recorder.base, randomness)
            directory = root / f"lost-{crash}"
            lost.write_to(directory)
            # The next life may end before it has saved anything, by a crash or by another loss of power.
            successor = live(directory, second)
            check(directory)
            for number in range(AGAIN):
                again = root / f"again-{crash}-{number}"
                after_power_loss(successor.steps, successor.base, randomness).write_to(again)
                check(again)


@pytest.mark.parametrize("ending", [[], [save]], ids=["killed", "saved"])
def test_bits_never_outlive_the_file_that_they_tell_of(
    tmp_path: Path, ending: list[Callable[[ChunkStore], None]]
) -> None:
    (tmp_path / "real").mkdir()
    first = live(tmp_path / "real", [lambda store: fetch(store, 0), save])
    for number, lost in enumerate(all_losses_of_names(first.steps, first.base)):
        directory = tmp_path / f"lost-{number}"
        lost.write_to(directory)
        second = live(directory, [lambda store: fetch(store, 1), *ending])
        check(directory)
        for again, image in enumerate(all_losses_of_names(second.steps, second.base)):
            image.write_to(tmp_path / f"again-{number}-{again}")
            check(tmp_path / f"again-{number}-{again}")


def test_the_recorder_saw_everything(tmp_path: Path) -> None:
    def act(store: ChunkStore) -> None:
        for number in (5, 0, 3, 1):
            fetch(store, number)
        save(store)
        evict(store, 5000)
        fetch(store, 5)

    (tmp_path / "real").mkdir()
    recorder = live(tmp_path / "real", [act, save, act])
    all_of(recorder.steps).write_to(tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(tmp_path / "real")


def is_whole(directories: LayerDirectories) -> bool:
    """Whether the layer is there; what is damaged must be noticed."""
    try:
        found = directories.load_record(LAYER)
        toc = directories.load_toc(LAYER, found)
        inodes = len(directories.map_image(LAYER, found).inodes)
    except LayerStateError:
        return False
    assert (found, toc, inodes) == (record(), TOC, 1)
    return True


def test_a_kept_layer_is_there_whole_or_known_to_be_damaged(tmp_path: Path) -> None:
    image = compile_layer(Toc(), payload_bytes=10)
    (tmp_path / "real").mkdir()
    recorder = Recorder(tmp_path / "real")
    with recorder.recording():
        directories = LayerDirectories(tmp_path / "real")
        keep(directories, record(), TOC, image)
        directories.make_durable(LAYER)
        durable = len(recorder.steps)
        keep(directories, record(), TOC, image)  # in place of the first
        directories.make_durable(LAYER)
        durable_again = len(recorder.steps)
    all_of(recorder.steps).write_to(tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(tmp_path / "real")
    randomness = random.Random(1)
    for crash in range(300):
        end = randomness.randrange(len(recorder.steps) + 1)
        root = tmp_path / f"lost-{crash}"
        after_power_loss(recorder.steps[:end], recorder.base, randomness).write_to(root)
        assert is_whole(LayerDirectories(root)) or end not in (durable, durable_again)
