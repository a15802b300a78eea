"""STS GetCallerIdentity.

Answered from the signature alone, so that it works while all else is down.
"""

from gateway.aws.renderers import View
from gateway.call import Call


def get_caller_identity(call: Call) -> View:
    return {
        "UserId": call.principal.user_id,
        "Account": call.principal.account_id,
        "Arn": call.principal.arn,
    }
