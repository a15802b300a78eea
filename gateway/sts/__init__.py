"""STS: who am I. The rest is known and refused in STS's dialect."""

from gateway.aws.endpoint import Function
from gateway.sts.identity import get_caller_identity

ACTIONS: tuple[Function, ...] = (get_caller_identity,)
