"""StateReason as EC2 writes it: a code, and a line that begins with it and names the cause. Pure.

    state_reason("Client.UserInitiatedShutdown", "User initiated shutdown")
        -> ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")

Called by all that writes state_reason_code and state_reason_message, of instances and images, and
by storage/snapshots/observe, whose status message has no code.
"""

SERVER_ERROR = "Server.InternalError"
CHARS_MAX = 1000  # a program's last words may be a book


def state_reason(code: str, cause: str) -> tuple[str, str]:
    """(code, message). ``cause`` may have several lines, as programs' words have, and may begin
    with the code, as hosts of an older release said it."""
    line = one_line(cause)
    while line.startswith(f"{code}:"):
        line = line.removeprefix(f"{code}:").lstrip()
    return code, f"{code}: {line}"[:CHARS_MAX]


def one_line(text: str) -> str:
    return " ".join(text.split())


def columns(code: str, cause: str) -> dict[str, str]:
    """The same as a row's columns."""
    code, message = state_reason(code, cause)
    return {"state_reason_code": code, "state_reason_message": message}
