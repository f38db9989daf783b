from registry.host_settings import HostSettings, MirrorSettings


def test_containerds_own_directories_are_used_unless_told_otherwise():
    assert [str(path) for path in HostSettings().config_paths] == [
        "/etc/containerd/certs.d",
        "/etc/docker/certs.d",
    ]


def test_headers_are_not_shown():
    assert "secret" not in repr(MirrorSettings("m.io", headers=(("X-Key", "secret"),)))
