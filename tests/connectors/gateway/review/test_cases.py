"""The queue: the newest verdict of each contact that waits."""

import random

import pytest

from connectors.gateway.review.cases import Case, Cases
from tests.connectors.gateway import screenplay as play
from tests.connectors.gateway.review.reviewing import LEFT, verdict
from topics.records import RedactionVerification

pytestmark = pytest.mark.unit


def cases(*verdicts: RedactionVerification) -> Cases:
    made = Cases()
    for at, one in enumerate(verdicts):
        made.take(Case(one, play.KEY, 1, at))
    return made


def listing(made: Cases, *tenants: str) -> list[dict[str, object]]:
    listed = made.listed(tenants)["cases"]
    assert isinstance(listed, list)
    return listed


def names(made: Cases, *tenants: str) -> list[object]:
    return [one["contact_id"] for one in listing(made, *tenants)]


def test_who_waits_longest_is_first_and_the_rejected_are_last() -> None:
    made = cases(verdict(contact_id="a", outcome="rejected"), verdict(contact_id="b"), verdict(contact_id="c"))
    assert ["b", "c", "a"] == names(made, play.TENANT)


def test_other_tenants_contacts_are_nobodys() -> None:
    made = cases(verdict(contact_id="a"), verdict(contact_id="b", tenant="another"))
    assert ["b"] == names(made, "another")
    assert None is made.find(["another"], "a")
    assert made.find([play.TENANT, "another"], "b")


def test_what_is_decided_waits_no_longer() -> None:
    made = cases(verdict(contact_id="a"), verdict(rev=2, contact_id="a", outcome="verified"), verdict(contact_id="b"))
    assert ["b"] == names(made, play.TENANT)


def test_the_newest_verdict_counts_in_any_order() -> None:
    verdicts = [verdict(rev=rev) for rev in range(1, 9)]
    random.Random(3).shuffle(verdicts)
    found = cases(*verdicts).find([play.TENANT], play.CONTACT)
    assert found is not None
    assert 8 == found.verdict.rev


def test_an_entry_says_what_is_unmended() -> None:
    (listed,) = listing(cases(verdict()), play.TENANT)
    assert ([LEFT.turn_id], {"CREDITCARD": 1}) == (listed["suspect_turns"], listed["types"])
