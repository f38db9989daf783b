import json

from fs.layer import LayerStatistics
from fs.state_file import dump_state, state_file_name
from registry.digest import Digest
from registry.reference import Reference

LAYER = Digest.of(b"layer")


def statistics(*, last_error: str = "") -> LayerStatistics:
    return LayerStatistics(
        layer=LAYER,
        reference=Reference.parse("localhost/image:1"),
        blob_bytes=200,
        landed_bytes=50,
        content_bytes=1000,
        present_bytes=100,
        last_used=0.0,
        disk_bytes=0,
        shared_bytes=0,
        requests=3,
        received_bytes=77,
        verify_failures=0,
        last_error=last_error,
    )


def test_the_fields_are_those_that_users_read() -> None:
    line = dump_state(statistics())
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "digest": str(LAYER),
        "size": 200,
        "fetchedSize": 50,
        "fetchedPercent": 25.0,
    }


def test_an_error_comes_first() -> None:
    state = json.loads(dump_state(statistics(last_error="no route")))
    assert next(iter(state)) == "error"
    assert state["error"] == "no route"


def test_the_file_is_named_after_the_layer() -> None:
    assert state_file_name(statistics()) == f"{LAYER}.json".encode()
