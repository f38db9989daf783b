"""A program for containers: reads the files it is told on stdin and answers with their digest, or with errno."""

import hashlib

SOURCE = """\
import hashlib, sys
for line in sys.stdin:
    try:
        with open(line.rstrip("\\n"), "rb") as file:
            answer = hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        answer = f"errno {error.errno}"
    print(answer, flush=True)
"""
ARGV = ("python3", "-c", SOURCE)


def digest(content: bytes) -> str:
    """Return the answer for a file with this content."""
    return hashlib.sha256(content).hexdigest()
