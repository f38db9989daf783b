from estargz.errors import (
    ConversionError,
    CorruptMemberError,
    DigestMismatchError,
    EstargzError,
    ExternalTocError,
    NoSuchFileError,
    NotEstargzError,
    PlatformError,
    RecordError,
    TocError,
    UnsupportedTarError,
)
from registry.digest import Digest
from registry.manifest import Platform


def test_every_error_says_what_and_why() -> None:
    good, bad = Digest.of(b"good"), Digest.of(b"bad")
    messages = {
        str(NotEstargzError("no footer")): ["not an eStargz layer", "no footer"],
        str(ExternalTocError(blob_bytes=1)): ["not an eStargz layer", "another image"],
        str(TocError("usr/x", "no digest")): ["usr/x", "no digest"],
        str(TocError("", "too long")): ["bad TOC: too long"],
        str(CorruptMemberError(offset=7, reason="cut")): ["offset 7", "cut"],
        str(DigestMismatchError("chunk", expected=good, actual=bad)): [
            "chunk",
            str(good),
            str(bad),
        ],
        str(UnsupportedTarError("dev/log", "socket")): ["dev/log", "socket"],
        str(ConversionError("layer x", "corrupt")): ["layer x", "corrupt"],
        str(PlatformError("linux/arm", [Platform("linux", "s390x"), None])): ["arm", "s390x"],
        str(NoSuchFileError("bin/sh", "gone")): ["bin/sh", "gone"],
        str(RecordError(7, "no path")): ["line 7", "no path"],
    }
    for message, words in messages.items():
        assert all(word in message for word in words)
        assert "\n" not in message


def test_all_errors_have_one_base() -> None:
    assert {kind.__name__ for kind in EstargzError.__subclasses__()} == {
        "NotEstargzError",
        "TocError",
        "CorruptMemberError",
        "DigestMismatchError",
        "UnsupportedTarError",
        "ConversionError",
        "PlatformError",
        "NoSuchFileError",
        "RecordError",
    }


def test_names_that_are_not_utf8_can_be_printed() -> None:
    str(UnsupportedTarError("caf\udce9", "not UTF-8")).encode()
