"""Nouns are declared whole: ids, codes and words, tags, quotas, and whose their rows are."""

import pytest

from controller import app
from gateway.aws import errors, model
from protos.errors import Kind
from protos.nouns import NOUNS, QUOTAS

NAMED = [noun for noun in NOUNS.values() if noun.named]
HERE = [noun for noun in NAMED if noun.prefix]


def test_names_and_prefixes_are_unlike():
    prefixes = [noun.prefix for noun in NOUNS.values() if noun.prefix]
    assert len(prefixes) == len(set(prefixes)) > 20
    assert len(QUOTAS) == sum(len(noun.quotas) for noun in NOUNS.values())


@pytest.mark.parametrize("noun", NAMED, ids=lambda noun: noun.name)
def test_what_can_be_named_can_be_absent(noun):
    assert errors.row(Kind.NOT_FOUND, noun.name, "")
    for asked in (("x-1",), ("x-1", "x-2")):
        assert ", ".join(asked) in noun.absence(asked)


@pytest.mark.parametrize("noun", HERE, ids=lambda noun: noun.name)
def test_an_id_is_malformed_or_merely_not_there(noun):
    malformed = errors.row(Kind.MALFORMED_ID, noun.name, "")
    assert (malformed is None) == (noun.malformed is None)
    assert errors.row(Kind.WRONG_STATE, noun.name, "") and (
        errors.row(Kind.WRONG_STATE, noun.name, "in-use")
    )


def test_every_quota_has_words_a_code_and_a_bound():
    for quota, noun in QUOTAS.values():
        assert str(7) in quota.refusal(7, 5, 3) or quota.words
        assert errors.row(Kind.QUOTA, noun.name, "")
        right = quota.name == "public_images_per_account"  # nobody has it until it is given
        assert quota.default or right or quota.follows in QUOTAS


def test_what_is_tagged_is_a_type_of_ec2s_and_somebodys():
    types = set(model.load("ec2").shapes["ResourceType"]["enum"])
    tagged = {noun.name for noun in NOUNS.values() if noun.tagged}
    assert tagged <= types
    assert tagged == {resource.noun.name for resource in app.OWNED}
