"""An endpoint answers one service's requests: parameters in, XML out.

    EC2 = Endpoint(model.load("ec2"), actions)
    EC2.answer([("Action", "DescribeVpcs"), ("Version", "2016-11-15")], call) -> (200, b"<?xml ...")

An action is a function ``action(call, *, members...) -> result``; result is a dict with the model's
member names (see renderers) or None for an operation that answers nothing but success. Its name is
the operation's, in Python's spelling. The endpoint knows no action: which ones there are is the
table it is given.

Called by gateway/app. Raises CloudError; ``refuse`` puts one into the service's dialect.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from gateway.aws import errors
from gateway.aws.model import Service
from gateway.aws.parameters import Parsers, Tree, keyword, nest
from gateway.aws.renderers import Render, Renderers, View
from gateway.aws.scalars import boolean, invalid
from gateway.call import Call
from protos.errors import CloudError, Kind

# What EC2 says of an operation that a region lacks. Clients compare the words: the Terraform AWS
# provider goes on without ClassicLink's DNS support at these only.
NOT_HERE = "The functionality you requested is not available in this region."
_VERSION = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]")
# Of SigV2, presigned SigV4 and boto 2: parameters that sign a request and are none of the action's.
SIGNING_PARAMETERS = frozenset(
    [
        "AWSAccessKeyId",
        "Signature",
        "SignatureMethod",
        "SignatureVersion",
        "Timestamp",
        "Expires",
        "SecurityToken",
        "AuthParams",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Amz-Content-Sha256",
    ]
)


# What answers an operation: it takes the call, and members by keyword.
Function: TypeAlias = Callable[..., View | None]


@dataclass(frozen=True)
class Action:
    """An operation that we have: its function and what reads and writes its messages."""

    operation: str
    function: Function
    parse: Callable[[Tree], dict[str, Any]]
    render: Render
    takes_dry_run: bool


class Endpoint:
    """One service.

    ``actions`` are the functions of what is supported; each name must be an operation's.
    """

    def __init__(self, service: Service, actions: Iterable[Function]):
        self.service = service
        self._parsers, self._renderers = Parsers(service), Renderers(service)
        functions = {action.__name__: action for action in actions}
        self.functions = {
            operation: functions.pop(keyword(operation))
            for operation in service.operations
            if keyword(operation) in functions
        }
        if functions:
            raise TypeError(f"{service.name} has no operations for {sorted(functions)}")
        self._actions: dict[str, Action] = {}

    def answer(self, parameters: Iterable[tuple[str, str]], call: Call) -> tuple[int, bytes]:
        """(HTTP status, body) of a request whose signature has been verified."""
        tree = nest(pair for pair in parameters if pair[0] not in SIGNING_PARAMETERS)
        version = version_of(tree.pop("Version", ""), self.service)
        call = replace(call, version=version)
        action = self._find(tree.pop("Action", None))
        if action.takes_dry_run and "DryRun" in tree:
            call = replace(call, caller=replace(call.caller, dry_run=_dry_run(tree.pop("DryRun"))))
        result = action.function(call, **action.parse(tree))
        return 200, self._wrap(action, action.render(result or {}), version, call).encode()

    def refuse(self, error: CloudError, request_id: str) -> tuple[int, bytes]:
        """(HTTP status, body) that tells a client of this service about an error."""
        service = self.service
        status, text = errors.render(
            error, service.dialect, service.namespace(service.api_version), request_id
        )
        return status, text.encode()

    def _find(self, name: object) -> Action:
        if not isinstance(name, str) or not name:
            raise CloudError(
                Kind.INVALID,
                "The request must contain the parameter Action",
                noun="parameter",
                reason="missing-action",
            )
        if name not in self._actions:
            if name not in self.service.operations:
                raise CloudError(
                    Kind.INVALID,
                    f"The action {name[:100]} is not valid for this web service.",
                    noun="parameter",
                    reason="unknown-action",
                )
            if name not in self.functions:
                raise CloudError(
                    Kind.UNSUPPORTED,
                    NOT_HERE
                    if self.service.dialect == "ec2"
                    else f"The operation {name} is not supported by this cloud.",
                    noun="parameter",
                    id=name,
                )
            self._actions[name] = self._compile(name)
        return self._actions[name]

    def _compile(self, name: str) -> Action:
        function, operation = self.functions[name], self.service.operations[name]
        return Action(
            operation=name,
            function=function,
            parse=self._parsers.of(name, function),
            render=self._renderers.of(name),
            takes_dry_run="DryRun" in self.service.members(operation.input),
        )

    def compile_all(self) -> None:
        """Compiles every action.

        At start, so that a signature that does not fit the model stops the gateway.
        """
        for name in self.functions:
            self._find(name)

    def _wrap(self, action: Action, content: str, version: str, call: Call) -> str:
        name, service = action.operation, self.service
        namespace, request_id = service.namespace(version), call.caller.request_id
        if service.dialect == "ec2":
            if service.operations[name].output is None:
                content = (
                    "<return>true</return>"  # libcloud and boto 2 read its absence as a failure
                )
            return (
                f'{errors.XML_HEAD}<{name}Response xmlns="{namespace}">'
                f"<requestId>{request_id}</requestId>{content}</{name}Response>"
            )
        result = (
            f"<{name}Result>{content}</{name}Result>" if service.operations[name].output else ""
        )
        return (
            f'{errors.XML_HEAD}<{name}Response xmlns="{namespace}">{result}'
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>"
        )


def version_of(asked: object, service: Service) -> str:
    """The API version that a client asked for.

    Any date is fine, as every EC2 client of the last 15 years is.
    """
    if asked == "":
        return service.api_version
    if not isinstance(asked, str) or not _VERSION.fullmatch(asked):
        raise CloudError(
            Kind.INVALID,
            f"The requested version ({str(asked)[:40]}) of service {service.name} does not exist",
            noun="parameter",
            reason="version",
        )
    return asked


def _dry_run(text: object) -> bool:
    if not isinstance(text, str):
        raise invalid("DryRun", text, "It is true or false.")
    return boolean(text, "DryRun")
