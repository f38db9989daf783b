"""Which backend the ``fs_server`` of a test has."""

import pytest

from fs.settings import Backend

both_backends = pytest.mark.parametrize("fs_server", [Backend.FUSE, Backend.EROFS], indirect=True)
on_erofs = pytest.mark.parametrize("fs_server", [Backend.EROFS], indirect=True)
on_fuse = pytest.mark.parametrize("fs_server", [Backend.FUSE], indirect=True)
