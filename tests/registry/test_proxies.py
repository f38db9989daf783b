import pytest

from registry.proxies import ProxySettings

_BOTH = {"HTTP_PROXY": "plain.io:3128", "HTTPS_PROXY": "http://user:secret@tls.io"}


def test_each_scheme_has_its_proxy():
    proxies = ProxySettings.from_environment(_BOTH)
    assert proxies.proxy_for("http://a.io/") == "http://plain.io:3128"
    assert proxies.proxy_for("https://a.io/") == "http://user:secret@tls.io"
    assert "secret" not in repr(proxies)


def test_where_there_are_none():
    assert ProxySettings.from_environment({}).proxy_for("https://a.io/") is None
    assert ProxySettings.from_environment({"HTTP_PROXY": "p"}).proxy_for("https://a.io/") is None


def test_upper_case_comes_first_and_empty_counts_as_missing():
    environment = {"HTTP_PROXY": "", "http_proxy": "lower", "HTTPS_PROXY": "u", "https_proxy": "l"}
    proxies = ProxySettings.from_environment(environment)
    assert (proxies.http, proxies.https) == ("http://lower", "http://u")


def test_a_request_to_a_cgi_program_chooses_no_proxy():
    assert ProxySettings.from_environment({**_BOTH, "REQUEST_METHOD": "GET"}).http == ""


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:5000", "127.8.8.8", "[::1]:5000"])
def test_this_machine_is_never_proxied(host):
    assert ProxySettings.from_environment(_BOTH).proxy_for(f"http://{host}/v2/") is None


@pytest.mark.parametrize(
    ("exception", "direct", "proxied"),
    [
        ("a.io", ["a.io", "x.a.io", "a.io:5000", "A.IO", "a.io."], ["ba.io", "a.io.b"]),
        (".a.io", ["x.a.io"], ["a.io"]),
        ("*.a.io", ["x.a.io"], ["a.io", "xa.io"]),
        ("a.io:5000", ["a.io:5000", "x.a.io:5000"], ["a.io"]),
        ("a.io:443", ["a.io"], ["a.io:444"]),
        ("10.0.0.0/8", ["10.1.2.3", "10.1.2.3:5000"], ["11.0.0.1", "a10.io"]),
        ("10.1.2.3", ["10.1.2.3"], ["10.1.2.4"]),
        ("10.1.2.3:80", [], ["10.1.2.3"]),
        ("fd00::/8", ["[fd00::1]:5000"], ["[fe00::1]"]),
        ("fd00::1", ["[fd00::1]"], ["[fd00::2]"]),
        ("[fd00::1]:443", ["[fd00::1]"], ["[fd00::1]:444"]),
        (" , b.io , c.io", ["b.io", "c.io"], ["a.io"]),
        ("*", ["a.io", "10.0.0.1"], []),
    ],
)
def test_what_goes_without_one(exception, direct, proxied):
    proxies = ProxySettings.from_environment({**_BOTH, "NO_PROXY": exception})
    assert [proxies.proxy_for(f"https://{host}/") for host in direct] == [None] * len(direct)
    assert all(proxies.proxy_for(f"https://{host}/") for host in proxied)
