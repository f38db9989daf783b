"""Seeds for fuzzing: what real tools wrote, a file each, below the name of the parser that reads it.

An input that once broke a parser is added as another file: seeds are tried as they are, too.
"""

from pathlib import Path

from hypothesis import strategies as st

_DIRECTORY = Path(__file__).parent / "seeds"
_MAX_CHANGES = 8
_PIECES = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"null", b"true", b"-1", b"0", b"1e999"),
    *(b"18446744073709551616", b"\\ud800", b"\xff", b"\0", b"../", b"/", b".wh.", b"sha256:"),
    *(b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"\x7f\xff\xff\xff"),
)


def load(parser: str) -> list[bytes]:
    """All seeds of a parser."""
    return [path.read_bytes() for path in sorted((_DIRECTORY / parser).iterdir())]


@st.composite
def damaged(draw: st.DrawFn, parser: str) -> bytes:
    """A seed after some changes: bytes replaced, cut out, repeated, pieces put in, another seed's end taken."""
    seeds = load(parser)
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, _MAX_CHANGES))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 64)))
        new = draw(
            st.sampled_from((*_PIECES, b"", data[start:end] * 2))
            | st.binary(min_size=1, max_size=4)
        )
        data = data[:start] + new + data[end:]
        if draw(st.integers(0, 9)) == 0:
            other = draw(st.sampled_from(seeds))
            data = data[:start] + other[draw(st.integers(0, len(other))) :]
    return data
