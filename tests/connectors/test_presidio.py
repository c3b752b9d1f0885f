"""Presidio as a baseline: word by word, and without the network."""

import socket
from typing import NoReturn

import pytest

from connectors import presidio

pytest.importorskip("presidio_analyzer", reason="the extra presidio is not installed")

pytestmark = pytest.mark.unit


def test_each_word_has_the_type_of_what_was_found_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refuse(*address: object, **_: object) -> NoReturn:
        asked.append(address)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    detect = presidio.detector()
    texts = "My name is Sarah Johnson and I use sarah@gmail.com with 4111 1111 1111 1111".split()
    assert ["", "", "", "NAME", "NAME", "", "", "", "EMAIL", "", *["CREDITCARD"] * 4] == list(detect(texts))
    assert [] == list(detect([]))
    assert [] == asked
