"""One engine for AWS's query protocols (EC2's dialect, and IAM's and STS's), driven by botocore's service models."""
