"""The address of a gateway, and the proxy on the way to it."""

import pytest
from taskorch.domain import errors
from taskorch.transport import address, gateway, proxies

TOKEN = f"tok_1a2b3c4d_{'0' * 64}"
INVALID = (
    "https://",
    "https://user:secret@queue.example",
    "https://queue.example?token=secret",
    "https://queue.example#secret",
    "https://queue example",
    "https://queue.example:port",
    "https://queue.example/a b",
)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://queue.example", "queue.example", 443, ""),
        ("https://queue.example:8650/", "queue.example", 8650, ""),
        ("https://queue.example/team/a", "queue.example", 443, "/team/a"),
        ("https://[2001:db8::1]:8650", "2001:db8::1", 8650, ""),
        ("http://localhost:8650", "localhost", 8650, ""),
        ("http://[::1]", "::1", 80, ""),
    ],
)
def test_valid_address_has_its_parts(
    url: str, host: str, port: int, path: str
) -> None:
    found = gateway.parse(url, TOKEN)

    assert (found.host, found.port, found.path) == (host, port, path)
    assert found.is_tls == url.startswith("https")
    assert TOKEN not in repr(found)


@pytest.mark.parametrize("url", INVALID)
def test_invalid_address_is_not_quoted(url: str) -> None:
    with pytest.raises(errors.Usage) as refused:
        gateway.parse(url, TOKEN)

    assert "secret" not in str(refused.value)
    assert "secret" not in address.redacted(url)


@pytest.mark.parametrize(
    "url",
    ["http://queue.example", "http://192.0.2.1", "http://localhost.example"],
)
def test_address_without_tls_is_local(url: str) -> None:
    with pytest.raises(errors.Usage, match="unencrypted"):
        gateway.parse(url, TOKEN)


@pytest.mark.parametrize("token", ["tok\r\nX: y", "tok\n", "tök"])
def test_token_fits_into_a_header(token: str) -> None:
    with pytest.raises(errors.TokenRefused):
        gateway.parse("https://queue.example", token)


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, ("proxy", 3128)),
        ({"https_proxy": "proxy"}, ("proxy", 3128)),
        ({"HTTPS_PROXY": "http://u:p@[::1]:80/"}, ("::1", 80)),
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "a, .example"}, None),
        (
            {"HTTPS_PROXY": "http://proxy", "no_proxy": "ueue.example"},
            ("proxy", 3128),
        ),
    ],
)
def test_proxy_is_that_of_the_environment(
    environment: dict[str, str], place: tuple[str, int] | None
) -> None:
    proxy = proxies.find("queue.example", environment)

    assert (proxy and (proxy.host, proxy.port)) == place


@pytest.mark.parametrize(
    "url",
    [
        "socks5://proxy",
        "https://proxy",
        "a b:c",
        "http://proxy:70000",
        "http://proxy:0",
        f"http://{'a' * 64}.example",
    ],
)
def test_other_proxy_is_a_usage_error(url: str) -> None:
    with pytest.raises(errors.Usage, match="HTTPS_PROXY"):
        proxies.find("queue.example", {"HTTPS_PROXY": url})
