import pytest

from estargz.errors import PlatformError
from estargz.image_selection import (
    choose_platform,
    config_platform,
    is_wanted,
    require_platforms,
)
from registry.digest import Digest
from registry.manifest import OCI_MANIFEST, Descriptor, Platform

_AMD = Platform("linux", "amd64")
_ARM = Platform("linux", "arm64", "v8")


def test_without_a_choice_all_are_wanted() -> None:
    assert is_wanted(None, [])
    assert is_wanted(_ARM, [_AMD, _ARM])
    assert not is_wanted(_ARM, [_AMD])
    require_platforms([], [])


def test_what_is_missing_is_told_with_what_there_is() -> None:
    require_platforms([_AMD, _ARM, None], [_ARM])
    with pytest.raises(PlatformError, match="linux/s390x: the image has only linux/amd64"):
        require_platforms([_AMD, None], [Platform("linux", "s390x")])


def test_the_platform_of_a_config() -> None:
    config = b'{"os":"linux","architecture":"arm64","variant":"v8","rootfs":{}}'
    assert config_platform(config) == _ARM
    assert config_platform(b"{}") is None


def _child(platform: Platform | None, **annotations: str) -> Descriptor:
    digest = Digest.of(str(platform).encode())
    return Descriptor(OCI_MANIFEST, digest, 1, annotations=annotations, platform=platform)


def test_one_of_several_images() -> None:
    amd, arm = _child(_AMD), _child(_ARM)
    attestation = _child(None, **{"vnd.docker.reference.type": "attestation-manifest"})
    assert choose_platform([attestation, amd, arm], [_ARM, _AMD]) is arm
    assert choose_platform([amd], []) is amd
    with pytest.raises(PlatformError, match="linux/amd64, linux/arm64"):
        choose_platform([amd, arm], [])
    with pytest.raises(PlatformError, match="s390x"):
        choose_platform([amd], [Platform("linux", "s390x")])
