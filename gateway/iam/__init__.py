"""IAM. Every operation is known and none is supported yet: each is refused in IAM's own dialect."""

ACTIONS = ()
