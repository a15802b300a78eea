"""STS: who am I. The rest is known and refused in STS's dialect."""

from gateway.sts.identity import get_caller_identity

ACTIONS = (get_caller_identity,)
