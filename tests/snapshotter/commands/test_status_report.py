"""What status shows of layers that are served, for programs and for people."""

import io
from dataclasses import replace

from rich.console import Console

from fs.cache_usage import CacheStatistics
from fs.fetch_counters import FetchStatistics, Transfer
from registry.digest import Digest
from snapshotter.commands.image_status import ImageStatus, LayerStatus
from snapshotter.commands.status_report import Glance, status_document, status_page
from snapshotter.cut_off import CutOff
from snapshotter.layer_server import FsStatus, ServedLayer

LAYER = Digest.of(b"layer")
FETCHING = FetchStatistics(demand=Transfer(2, 2048), background=Transfer(1, 1), hits=3, waits=1)
SERVED = ServedLayer(LAYER, 1, 2, 3, 4, 5, 6, "it rained", fetching=FETCHING)
IMAGE = ImageStatus("r.test/a:1", (LayerStatus("chain", LAYER, SERVED, "", 0),), ("container",))
CACHE = CacheStatistics(
    used_bytes=1 << 20,
    limit_bytes=1 << 30,
    evicted_bytes=0,
    unkept_writes=0,
    shared_bytes=0,
    disk_error="full",
)
GLANCE = Glance("", FsStatus("1.2.3", {LAYER: SERVED}, FETCHING, CACHE), [IMAGE])


def shown(glance: Glance) -> str:
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(status_page(glance, detailed=True))
    return console.export_text()


def test_programs_get_every_number() -> None:
    document = status_document(GLANCE)
    (image,) = document["images"]
    (layer,) = image["layers"]
    assert (layer["presentBytes"], layer["contentBytes"], layer["blobBytes"]) == (1, 2, 3)
    assert (layer["fetchedBytes"], layer["requests"], layer["verifyFailures"]) == (4, 5, 6)
    assert layer["lastError"] == "it rained"
    assert layer["fetching"]["demand"] == {"requests": 2, "bytes": 2048}
    assert (layer["fetching"]["readHits"], layer["fetching"]["readWaits"]) == (3, 1)
    fs_server = document["fsServer"]
    assert (fs_server["up"], fs_server["version"], fs_server["layers"]) == (True, "1.2.3", 1)
    assert fs_server["cache"]["limitBytes"] == 1 << 30


def test_people_see_the_same_in_few_lines() -> None:
    text = shown(GLANCE)
    for words in (
        "fs server 1.2.3: 1 layers",
        "cannot be kept: full",
        "75 %",
        "last error: it rained",
    ):
        assert words in text


def test_containers_that_lost_their_layers_are_named() -> None:
    glance = replace(GLANCE, cut_off={"default/web": CutOff("default/7/web", (LAYER,))})
    (told,) = status_document(glance)["restartNeeded"]
    assert told == {
        "container": "default/web",
        "snapshot": "default/7/web",
        "layers": [str(LAYER)],
    }
    assert "container default/web has lost its layers: start it again" in shown(glance)
    assert status_document(GLANCE)["restartNeeded"] == []


def test_an_fs_server_that_is_away() -> None:
    glance = Glance("fs server: away", FsStatus(), [])
    assert status_document(glance)["fsServer"] == {"up": False, "error": "fs server: away"}
    assert "fs server: away; lazy layers are not served" in shown(glance)
    assert "no image" in shown(glance)
