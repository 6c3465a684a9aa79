"""How a device is named."""

import pytest

from nascompiler.backends.devices.address import VARIABLE, Address, device_of, parse_address
from nascompiler.ir import UsageError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("emulated", Address()),
        ("", Address()),
        ("pi:9090", Address("pi", 9090)),
        ("127.0.0.1:9090/secret", Address("127.0.0.1", 9090, "secret")),
        ("tracker:farm.local:9190/pi4", Address("farm.local", 9190, "pi4", is_tracker=True)),
    ],
)
def test_what_is_accepted(text, address):
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", ["pi", "pi:0", "pi:99999", "pi:90 90", ":9090", "http://pi:9090"])
def test_what_is_not_says_what_is(text):
    with pytest.raises(UsageError, match="names no device; accepted: emulated, HOST:PORT"):
        parse_address(text)


def test_a_tracker_needs_a_key():
    with pytest.raises(UsageError, match="is asked for a key"):
        parse_address("tracker:farm:9190")


def test_the_environment_decides_for_targets_that_do_not(monkeypatch):
    monkeypatch.setenv(VARIABLE, "pi:9090")
    assert device_of("emulated") == Address("pi", 9090)
    assert device_of("other:1") == Address("other", 1)
