"""What ``pyestargz optimize`` tells of the sample run, and the file it writes about it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snapshotter.commands.byte_size import format_size
from snapshotter.sampling.access_log import dump_accesses
from snapshotter.sampling.sample_run import Sample


def sample_lines(sample: Sample) -> Iterator[str]:
    """What is said of a run when it is over."""
    files, ended = sample.files, sample.ended
    status = "" if ended.exit_status is None else f" with status {ended.exit_status}"
    layers = len({access.layer_index for access in files.accesses})
    yield f"ran {sample.seconds:.1f} s, until {ended.stop}{status}"
    yield f"recorded {len(files.accesses)} files of {layers} layers, {format_size(files.content_bytes)}"
    for file in files.left_out:
        read, size = format_size(file.read_bytes), format_size(file.file_bytes)
        yield f"left out: {file.path}, of which {read} of {size} were read"


def sample_document(sample: Sample | None) -> dict[str, Any]:
    """The run as ``--json`` prints it; field names are stable."""
    if sample is None:
        return {}
    return {
        "sample": {
            "seconds": round(sample.seconds, 3),
            "endedBecause": sample.ended.stop.name.lower(),
            "exitStatus": sample.ended.exit_status,
            "files": len(sample.files.accesses),
            "contentSize": sample.files.content_bytes,
            "leftOut": [
                {"path": file.path, "size": file.file_bytes, "read": file.read_bytes}
                for file in sample.files.left_out
            ],
        }
    }


def write_record(path: Path, sample: Sample) -> None:
    """Writes the record; the file appears whole, or stays as it was.

    Raises:
        OSError: it cannot be written.
    """
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name[:32]}-", delete=False
    ) as file:
        temporary = Path(file.name)
        try:
            file.write(dump_accesses(sample.files.accesses))
            file.flush()
            os.fsync(file.fileno())
            # Others may read it as they may read what a shell would have written.
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
