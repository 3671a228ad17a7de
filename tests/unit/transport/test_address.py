"""Addresses are parsed or refused, and no message shows a password."""

import re
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from taskorch.config.settings import resolve
from taskorch.connections import connect
from taskorch.domain import errors
from taskorch.transport import address
from taskorch.transport.address import DeploymentAddress, ServerAddress
from taskorch.transport.failover import raw_client


def parsed(url: str) -> DeploymentAddress:
    deployment = address.parse(url)
    assert isinstance(deployment, DeploymentAddress)
    return deployment


def test_sentinel_address_names_service_and_database() -> None:
    deployment = parsed(
        "redis+sentinel://ada:pass@one:26380,two/main/3?sentinel_password=x"
    )

    assert (deployment.kind, deployment.service) == ("sentinel", "main")
    assert deployment.hosts == (("one", 26380), ("two", 26379))
    assert (
        deployment.server == "redis://ada:pass@sentinel/3?sentinel_password=x"
    )


def test_cluster_address_names_nodes() -> None:
    deployment = parsed(
        "rediss+cluster://ada@one,two:7000/?ssl_cert_reqs=none"
    )

    assert (deployment.kind, deployment.service) == ("cluster", "")
    assert deployment.hosts == (("one", 6379), ("two", 7000))
    assert deployment.server == "rediss://ada@cluster/0?ssl_cert_reqs=none"


def test_hosts_may_be_addresses_in_brackets() -> None:
    deployment = parsed("redis+cluster://[::1]:7000,[2001:db8::2],127.0.0.1")

    assert deployment.hosts == (
        ("::1", 7000),
        ("2001:db8::2", 6379),
        ("127.0.0.1", 6379),
    )


def test_server_address_is_no_deployment() -> None:
    urls = [
        "redis://host",
        "rediss://host:1/2?ssl_cert_reqs=none",
        "unix:///run/redis.sock",
        "unix://u:p@/run/s",
    ]

    assert {type(address.parse(url)) for url in urls} == {ServerAddress}


@pytest.mark.parametrize(
    ("url", "shape"),
    [
        ("redis+sentinel://host:26379", "redis+sentinel://user:password@host"),
        ("redis+sentinel://host/", "redis+sentinel://user:password@host"),
        ("redis+sentinel:///main", "redis+sentinel://"),
        (
            "redis+sentinel://one,,two/main",
            "redis+sentinel://user:password@host",
        ),
        (
            "redis+sentinel://one:port/main",
            "redis+sentinel://user:password@host",
        ),
        ("redis+sentinel://one:0/main", "redis+sentinel://user:password@host"),
        (
            "redis+sentinel://one:65536/main",
            "redis+sentinel://user:password@host",
        ),
        (
            "redis+sentinel://one/main/zero",
            "redis+sentinel://user:password@host",
        ),
        (
            "redis+sentinel://one/main/0/more",
            "redis+sentinel://user:password@host",
        ),
        ("redis+sentinel://[::1/main", "redis+sentinel://user:password@host"),
        (
            "redis+sentinel://one/main?colour=red",
            "redis+sentinel://user:password@host",
        ),
        (
            "redis+sentinel://one/main?ssl_ca_certs=/ca.pem",
            "redis+sentinel://user:password@host",
        ),
        ("redis+cluster://", "redis+cluster://user:password@host"),
        ("redis+cluster://one/1", "redis+cluster://user:password@host"),
        ("redis+cluster://one/main", "redis+cluster://user:password@host"),
        ("redis+cluster://::1", "redis+cluster://user:password@host"),
        (
            "redis+cluster://one?sentinel_password=x",
            "redis+cluster://user:password@host",
        ),
        (
            "redis+cluster://one?max_connections=many",
            "redis+cluster://user:password@host",
        ),
        ("redis+something://one", "redis://host:6379/0"),
        ("sentinel://one/main", "redis://host:6379/0"),
    ],
)
def test_invalid_address_is_refused_with_an_example(
    url: str, shape: str
) -> None:
    with pytest.raises(errors.Usage) as refusal:
        connect(url)

    assert "is not a valid Redis address" in str(refusal.value)
    assert shape in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["redis://one?colour=red", "redis+cluster://one?colour=red"]
)
def test_unknown_option_is_named(url: str) -> None:
    with pytest.raises(errors.Usage) as refusal:
        connect(url)

    assert "(unknown option 'colour')" in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://ada:open-sesame@one,two/main",
        "redis+sentinel://one/main?sentinel_username=x&sentinel_password=open-sesame",
        "redis+cluster://:open-sesame@one:port",
        "redis+cluster://ada:p@open-sesame@one",
        "rediss+cluster://one?ssl_password=open-sesame&ssl_keyfile=/key",
        "redis://host?p%61ssword=open-sesame",
        "redis+sentinel://ada:open-sesame@one/main?colour=red",
        "redis+sentinel://ada:open-sesame@one",
        "redis://ada:open-sesame?more@one/0",
        "redis://ada:open-sesame#more@one:6379",
        "redis://ada:open-sesame/more@one:6379/0",
        "redis://one:open-sesame:6379/0",
        "redis://[ada:open-sesame]@one/0",
    ],
)
def test_no_password_is_shown(url: str) -> None:
    try:
        told = repr(address.parse(url, "open-sesame"))
        connect(url, password="open-sesame")
    except errors.Usage as refusal:
        told = str(refusal)

    assert "open-sesame" not in told + address.redacted(url)


#: Places of a password in valid and invalid addresses.
PLACES = [
    "redis://{}@host", "redis://:{}@host:6379/0", "redis://ada:{}@host", "rediss://ada:{}@[::1]:6379",
    "redis://{}:@host", "redis://ada:{}", "redis://host:6379:{}", "redis://host:{}/0", "redis://host/{}",
    "redis://host?password={}", "redis://host?db=0&password={}&username={}", "redis://ada:{}@host?colour=red",
    "redis:/:{}@host", "redis//:{}@host", ":{}@host", "{}@host:6379", "ada:{}@host:6379", "host:6379,password={}",
    "redis://host {}", " redis://:{}@host", "redis://:{}@host:port", "redis://:{}@host:99999", "http://:{}@host",
    "unix://:{}@/run/redis.sock", "unix:///run/redis.sock?password={}", "unix:{}",
    "redis+sentinel://:{}@one:26379,two/main", "redis+sentinel://one,:{}@two/main/0", "redis+sentinel://{}@one",
    "redis+sentinel://one/main?sentinel_password={}", "redis+sentinel://one/main?sentinel_password={}&colour=red",
    "rediss+cluster://:{}@one,[::1]:7000", "redis+cluster://{}@one:7000,two", "redis+cluster://one:{}",
    "redis+cluster://one,two:{}@three", "redis+cluster://:{}@one?password={}&max_connections=many",
]  # fmt: skip
SECRET = "Op3nSesame"


@settings(max_examples=200)
@given(
    place=st.sampled_from(PLACES),
    before=st.text("ab7@:/?#%[]&= +,℀é$'\"\n", max_size=6),
    after=st.text("ab7@:/?#%[]&= +,℀é$'\"\n", max_size=6),
)
@example(place="redis://:{}@host", before="", after="℀")
@example(place="redis://{}@host", before="", after="?a=b")
@example(place="redis+sentinel://{}@one", before="", after="/main")
@example(place="redis://host?password={}", before="&", after="=")
def test_no_address_shows_a_secret(
    place: str, before: str, after: str
) -> None:
    url = place.replace("{}", f"{before}{SECRET}{after}")
    assume(
        not re.search(f"[@,][^/?#@,:]*{SECRET}|unix:///[^?]*{SECRET}", url)
    )  # a host or a path by any reading
    settings = resolve({"redis_url": url}, {"HOME": "/nonexistent"}, "/")
    told = [address.redacted(url), repr(settings)]
    try:
        told.append(repr(address.parse(url)))
        connect(url)
        raw_client(url)
    except errors.Usage as refusal:
        told += [str(refusal), refusal.hint(), repr(refusal.details)]

    assert [text for text in told if SECRET in text] == []


@given(
    url=st.sampled_from(
        [
            "redis://{}host:6379/2",
            "rediss://{}[::1]",
            "unix://{}/run/s?db=1",
            "redis+sentinel://{}one,two/main",
            "redis+cluster://{}one",
        ]
    ),
    password=st.text(min_size=1),
    user=st.sampled_from(["", "ada"]),
)
def test_address_without_its_password_is_the_same_place(
    url: str, password: str, user: str
) -> None:
    full = url.replace(
        "{}", f"{user}:{quote(password, safe='', errors='surrogatepass')}@"
    )

    bare, found = address.without_password(full)

    assert (bare, found) == (
        url.replace("{}", f"{user}@" if user else ""),
        password,
    )


def test_password_option_is_removed() -> None:
    assert address.without_password("redis://host/0?password=a+b%40&db=1") == (
        "redis://host/0?db=1",
        "a b@",
    )
    assert address.without_password("redis://host?password=x") == (
        "redis://host",
        "x",
    )


def test_cluster_is_recognized_by_its_address() -> None:
    urls = [
        "redis+cluster://one",
        "rediss+cluster://one",
        "redis://one?x=+cluster://",
        "redis+sentinel://one/main",
        "",
    ]

    assert [address.is_cluster(url) for url in urls] == [
        True,
        True,
        False,
        False,
        False,
    ]
