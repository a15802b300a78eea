"""What an image may be called and described as, and how a refusal of such a word reads.

Called by all that makes or changes an image (rules, create, sharing). Source: EC2 API
Reference, RegisterImage, CreateImage.
"""

import re
from collections.abc import Collection

from controller.kernel.database import Session
from controller.storage.states import LIVING
from controller.tables.storage import Image
from protos.errors import CloudError, Kind, missing_parameter

DESCRIPTION_CHARS_MAX = 255
IMDS_SUPPORT = ("v2.0",)
_NAME = re.compile(r"[a-zA-Z0-9()\[\] ./\-'@_]{3,128}")


def check_words(name: str, description: str) -> None:
    """Raises INVALID."""
    if not name:
        raise missing_parameter("Name")
    if not _NAME.fullmatch(name):
        raise CloudError(
            Kind.INVALID,
            "AMI names must be between 3 and 128 characters long, and may contain letters, "
            "numbers, '(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'",
            noun="image",
            reason="image-name-malformed",
        )
    check_description(description)


def check_description(description: str) -> None:
    if len(description) > DESCRIPTION_CHARS_MAX:
        shown = description[:32] + "…"
        raise invalid("description", shown, f"at most {DESCRIPTION_CHARS_MAX} characters")


def check_among(parameter: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise invalid(parameter, value, "one of " + ", ".join(known))


def check_name_is_free(session: Session, account_id: str, name: str) -> None:
    """Raises EXISTS."""
    query = Image.select(Image.image_id).where(
        Image.account_id == account_id, Image.name == name, Image.status.in_(LIVING)
    )
    if taken := session.value(query, str):
        raise CloudError(
            Kind.EXISTS, f"AMI name {name} is already in use by AMI {taken}", noun="image", id=taken
        )


def invalid(parameter: str, value: str, expected: str) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"Value ({value}) for parameter {parameter} is invalid. Expected: {expected}.",
        noun="parameter",
        id=parameter,
    )
