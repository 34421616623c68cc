"""Fetch a committee file by its hash from one service."""

from __future__ import annotations

import hashlib

from dragon.encoding import parse, to_hex
from dragon.errors import BadAnswer
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import MAX_FILE_BYTES, Committee


def fetch_committee(
    http: HttpClient, url: str, committee_id: bytes, *, deadline: float
) -> Committee:
    """Return the checked committee with this id.

    The hash is compared first: to check the keys of a file takes a pairing for each, and a file may
    list thousands.

    Args:
        url: where the service answers.
        deadline: in seconds.

    Raises PeerError, InvalidEncoding, InvalidCommittee.
    """
    return Committee.load(_fetch(http, url, committee_id, deadline))


def fetch_unchecked(
    http: HttpClient, url: str, committee_id: bytes, *, deadline: float
) -> Committee:
    """Return the committee with this id without checking its keys, to show it to people.

    A service that names one file after the other must not cost more than it sends.
    Raises PeerError, InvalidEncoding, InvalidCommittee: a rule is broken, except those about keys.
    """
    committee = Committee.from_json(parse(_fetch(http, url, committee_id, deadline)))
    committee.check_rules()
    return committee


def _fetch(http: HttpClient, url: str, committee_id: bytes, deadline: float) -> bytes:
    address = f"{url}/objects/{to_hex(committee_id)}"
    answer = http.get(address, deadline=deadline, max_bytes=MAX_FILE_BYTES)
    if hashlib.sha256(answer.body).digest() != committee_id:
        raise BadAnswer("the answer is not the committee file with this hash")
    return answer.body
