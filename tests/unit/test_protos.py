"""The contract's own promises: options on every rpc, ids, errors that survive the wire."""

import logging
import random
import re
from pathlib import Path

import pytest
from google.api import annotations_pb2

from protos import errors, ids, rpc
from protos.errors import CloudError, Kind
from protos.services import SERVICES, permission_of

METHODS = [method for service in SERVICES for method in service.methods]


def test_every_file_of_the_contract_is_listed():
    folder = Path(__file__).resolve().parents[2] / "protos" / "cloud" / "v1"
    text = "".join(path.read_text() for path in folder.glob("*.proto"))
    written = set(re.findall(r"^service (\w+)", text, re.MULTILINE))
    assert {service.name for service in SERVICES} == written


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_rpc_says_who_may_call_it(method):
    permission = permission_of(method)
    by_service, by_account = bool(permission.service), bool(permission.action)
    assert by_service != by_account, "exactly one of service and action"
    http = method.GetOptions().Extensions[annotations_pb2.http]
    assert bool(http.WhichOneof("pattern")) == by_account, (
        "an account's rpc has a path, others none"
    )


def test_no_two_rpcs_share_a_path():
    seen = {}
    for method in METHODS:
        http = method.GetOptions().Extensions[annotations_pb2.http]
        verb = http.WhichOneof("pattern")
        if verb:
            path = (verb, getattr(http, verb))
            assert path not in seen, f"{method.full_name} and {seen[path]} share {path}"
            seen[path] = method.full_name


@pytest.mark.parametrize("noun", ids.PREFIXES)
def test_ids_say_their_noun(noun):
    fresh = ids.new_id(noun, random.Random(7))
    assert ids.noun_of(fresh) == noun
    assert ids.is_well_formed(fresh, noun)
    assert fresh == ids.new_id(noun, random.Random(7)), "a seed repeats itself"


@pytest.mark.parametrize(
    "text", ["", "i-", "i-xyz", "i-0123456789abcdef", "I-0123456789abcdef0", "x-01234567"]
)
def test_what_is_not_an_id_has_no_noun(text):
    assert ids.noun_of(text) is None


@pytest.mark.parametrize("kind", Kind)
def test_errors_survive_the_wire(kind):
    sent = CloudError(
        kind, "naïve <message>", noun="instance", id="i-1", reason="why", because="secret"
    )
    got = errors.from_detail(errors.to_detail(sent))
    assert (got.kind, got.message, got.noun, got.id, got.reason) == (
        kind,
        "naïve <message>",
        "instance",
        "i-1",
        "why",
    )
    assert got.because is None, "what is for the log does not travel"


def test_a_callers_mistakes_do_not_fill_the_log():
    mistake = CloudError(Kind.INVALID, "no CIDR", because="10.0.0.0/99")
    assert errors.log_level(mistake) == logging.DEBUG
    assert errors.log_level(CloudError(Kind.DENIED, "no", because="who")) == logging.WARNING
    assert errors.log_level(CloudError(Kind.BUG, "oh")) == logging.ERROR


def test_a_caller_survives_the_metadata():
    caller = rpc.Caller("r-1", "123456789012", "arn:aws:iam::123456789012:root", True, True, "AIDA")
    assert rpc.Caller.from_metadata(caller.to_metadata()) == caller
    assert rpc.Caller.from_metadata([]) == rpc.Caller()


@pytest.mark.parametrize("peer", ["controller", "gateway", "host:h-0123456789abcdef0"])
def test_a_peer_has_one_name(peer):
    assert rpc.peer_of_dns_name(rpc.dns_name(peer)) == peer
