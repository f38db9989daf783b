from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from estargz.convert import ConversionOptions, convert_image
from estargz.progress import Event, LayerAdvanced, LayerFinished, LayerPushed, LayerStarted, Phase
from tests.estargz.layouts import Layer, Layout, store
from tests.strategies import Node, build_tar


async def _events(directory: Path) -> list[Event]:
    layout = Layout(directory / "in")
    tars = [build_tar([Node(name=name, content=bytes(1 << 21))]) for name in "ab"]
    source = layout.name(layout.add_image([Layer(tar=tar) for tar in tars]))
    events: list[Event] = []
    options = ConversionOptions(work_directory=directory)
    await convert_image(source, store(directory / "out"), options, progress=events.append)
    return events


def _steps(events: list[Event]) -> Iterator[type | Phase]:
    for step, _ in groupby(e.phase if isinstance(e, LayerAdvanced) else type(e) for e in events):
        yield step


async def test_each_layer_tells_its_steps_in_order(tmp_path: Path) -> None:
    events = await _events(tmp_path)
    digests = {event.digest for event in events}
    assert len(digests) == 2
    for digest in digests:
        assert list(_steps([event for event in events if event.digest == digest])) == [
            LayerStarted,
            Phase.FETCH,
            Phase.COMPRESS,
            LayerFinished,
            Phase.PUSH,
            LayerPushed,
        ]


async def test_phases_add_up(tmp_path: Path) -> None:
    advances = [event for event in await _events(tmp_path) if isinstance(event, LayerAdvanced)]
    for digest in {event.digest for event in advances}:
        for phase in (Phase.FETCH, Phase.PUSH):
            mine = [event for event in advances if (event.digest, event.phase) == (digest, phase)]
            assert sum(event.delta for event in mine) == mine[0].total
