"""What the papers claim, what runs measured, and the verdicts that follow."""

from tailwise.ledger.board import claim_box, every_claim, headline, outcome
from tailwise.ledger.claims import (
    VERDICTS,
    Chapter,
    Claim,
    Ledger,
    Measurement,
    Record,
    latest,
    load,
    recorded,
    verdict,
)

__all__ = [
    "Chapter",
    "Claim",
    "Ledger",
    "Measurement",
    "Record",
    "VERDICTS",
    "claim_box",
    "every_claim",
    "headline",
    "latest",
    "load",
    "outcome",
    "recorded",
    "verdict",
]
