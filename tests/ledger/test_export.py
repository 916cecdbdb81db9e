"""The book's claims as JSON: what the ledger says, and its schema."""

import json

import jsonschema
import pytest

from tailwise.ledger import claims, export


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(json.dumps(export.document(), allow_nan=False))


def test_it_has_every_claim_with_its_verdicts(document):
    stated = [c for key in claims.chapters() for c in claims.load(key).claims.values()]
    assert [c["id"] for c in document["claims"]] == [claim.id for claim in stated]
    for said, claim in zip(document["claims"], stated):
        assert (said["says"], said["bound"]) == (claim.says, claim.bound)
        for run in said["measured"]:
            kept = claims.recorded(said["chapter"], run["profile"])
            # Fresh seeds may have opened a mark since the record was made.
            marks = {part["mark"] for part in run["parts"]}
            alike = claims.ALIKE[min(marks)] if len(marks) == 1 else "mixed"
            expected = alike if marks else kept.verdicts.get(claim.id)
            assert run["verdict"] == (expected or "not recorded yet")
            measured = kept.measurements.get(claim.id, ())
            assert [p["value"] for p in run["parts"]] == [m.value for m in measured]


def test_it_keeps_to_its_schema(document):
    jsonschema.Draft202012Validator.check_schema(export.schema())
    jsonschema.validate(document, export.schema())


@pytest.mark.parametrize(
    ("field", "value"), [("where", ""), ("origin", "us"), ("bound", "5e-1")]
)
def test_a_claim_without_its_evidence_breaks_the_schema(document, field, value):
    harmed = document | {"claims": [document["claims"][0] | {field: value}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(harmed, export.schema())
