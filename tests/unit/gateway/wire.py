"""What tests of the query protocol send byte by byte, and what they read in its XML."""

from lxml import etree

from gateway.aws import model

XML = "text/xml;charset=UTF-8"


def ask(world, action, service="ec2", **parameters):
    version = model.API_VERSIONS[service]
    return world.call({"Action": action, "Version": version, **parameters}, service=service)


def error(answer):
    """(status, code) of an EC2 error."""
    root = etree.fromstring(answer.data)
    return answer.status_code, root.findtext("Errors/Error/Code")
