import pytest

from estargz.errors import ConversionError
from estargz.image_selection import config_platform, is_wanted, require_platforms
from registry.manifest import Platform

_AMD = Platform("linux", "amd64")
_ARM = Platform("linux", "arm64", "v8")


def test_without_a_choice_all_are_wanted() -> None:
    assert is_wanted(None, [])
    assert is_wanted(_ARM, [_AMD, _ARM])
    assert not is_wanted(_ARM, [_AMD])
    require_platforms([], [])


def test_what_is_missing_is_told_with_what_there_is() -> None:
    require_platforms([_AMD, _ARM, None], [_ARM])
    with pytest.raises(ConversionError, match="linux/s390x: the image has only linux/amd64"):
        require_platforms([_AMD, None], [Platform("linux", "s390x")])


def test_the_platform_of_a_config() -> None:
    config = b'{"os":"linux","architecture":"arm64","variant":"v8","rootfs":{}}'
    assert config_platform(config) == _ARM
    assert config_platform(b"{}") is None
