"""IAM. Every operation is known and none is supported yet: each is refused in IAM's own dialect."""

from gateway.aws.endpoint import Function

ACTIONS: tuple[Function, ...] = ()
