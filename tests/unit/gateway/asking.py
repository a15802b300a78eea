"""What tests of the actions ask boto3 for, and what they read in its answers."""

import pytest
from botocore.exceptions import ClientError

from protos.cloud.v1 import common_pb2

TAG = common_pb2.Tag(key="k", value="v")
MADE = 1_769_860_800_123


def refusal(call, **parameters) -> tuple[int, str]:
    """The HTTP status and the code of an error."""
    with pytest.raises(ClientError) as failure:
        call(**parameters)
    error = failure.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]


def code(call, **parameters) -> str:
    return refusal(call, **parameters)[1]


def plain(answer):
    answer.pop("ResponseMetadata")
    return answer
