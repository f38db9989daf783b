"""Programs that hand out credentials, as small shell scripts."""

from pathlib import Path


def write_script(path: Path, body: str) -> Path:
    """An executable script; the file is closed and renamed, so that running it at once cannot fail as busy."""
    new = path.with_suffix(".new")
    new.write_text(f"#!/bin/sh\n{body}\n")
    new.chmod(0o755)
    new.rename(path)
    return path
