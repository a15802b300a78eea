"""What is so of every instance type. Pure."""

from protos.errors import CloudError, invalid_parameter


def no_such_type(name: str) -> CloudError:
    """A parameter's value, to EC2; only DescribeInstanceTypes says InvalidInstanceType."""
    return invalid_parameter(f"Invalid value '{name}' for InstanceType.")


def runs_on(image_architecture: str, type_architecture: str) -> bool:
    return image_architecture == type_architecture or (image_architecture, type_architecture) == (
        "i386",
        "x86_64",
    )
