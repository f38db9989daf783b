from registry.digest import Digest
from registry.endpoints import Endpoint
from registry.redirects import RedirectMemory
from registry.reference import Repository

_ENDPOINT = Endpoint("host.io", "https://host.io/v2/")
_REPOSITORY = Repository("host.io", "a")
_DIGESTS = [Digest.of(bytes([number])) for number in range(4)]


def test_the_least_recently_used_is_forgotten_first():
    memory = RedirectMemory(max_entries=2)
    memory.remember((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), "https://cdn.io/0")
    memory.remember((_ENDPOINT, _REPOSITORY, _DIGESTS[1]), "https://cdn.io/1")
    assert memory.recall((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), now=0.0) == "https://cdn.io/0"
    memory.remember((_ENDPOINT, _REPOSITORY, _DIGESTS[2]), "https://cdn.io/2")
    assert memory.recall((_ENDPOINT, _REPOSITORY, _DIGESTS[1]), now=0.0) is None
    assert memory.recall((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), now=0.0) == "https://cdn.io/0"
    assert repr(memory) == "<RedirectMemory 2 targets>"


def test_repositories_do_not_share_targets():
    memory = RedirectMemory()
    memory.remember((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), "https://cdn.io/0")
    assert memory.recall((_ENDPOINT, Repository("host.io", "b"), _DIGESTS[0]), now=0.0) is None


def test_a_newer_target_survives_the_failure_of_an_older_one():
    memory = RedirectMemory()
    memory.remember((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), "https://cdn.io/old")
    memory.remember((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), "https://cdn.io/new")
    memory.forget((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), "https://cdn.io/old")
    assert memory.recall((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), now=0.0) == "https://cdn.io/new"
    memory.forget((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), "https://cdn.io/new")
    assert memory.recall((_ENDPOINT, _REPOSITORY, _DIGESTS[0]), now=0.0) is None


def test_what_has_expired_is_not_recalled():
    memory, blob = RedirectMemory(), (_ENDPOINT, _REPOSITORY, _DIGESTS[0])
    memory.remember(blob, "https://cdn.io/0", good_until=10.0)
    assert memory.recall(blob, now=9.9) == "https://cdn.io/0"
    assert memory.recall(blob, now=10.0) is None
    assert repr(memory) == "<RedirectMemory 0 targets>"
