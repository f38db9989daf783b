import pytest

from registry.manifest import Platform
from registry.platforms import is_platform, parse_platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("Linux/ARM64/v8", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/arm/v6", Platform("linux", "arm", "v6")),
    ],
)
def test_names(text: str, platform: Platform) -> None:
    assert parse_platform(text) == platform
    assert parse_platform(str(platform)) == platform


@pytest.mark.parametrize("text", ["", "linux", "linux/", "a/b/c/d", "linux/amd 64", "/amd64"])
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="not a platform"):
        parse_platform(text)


def test_the_same_in_other_words() -> None:
    assert is_platform(Platform("linux", "arm64", "v8"), parse_platform("linux/aarch64"))
    assert is_platform(
        Platform("windows", "amd64", os_version="10.0.1"), parse_platform("windows/amd64")
    )
    assert not is_platform(Platform("linux", "arm", "v6"), parse_platform("linux/arm"))
    assert not is_platform(None, parse_platform("linux/arm"))
