"""One engine for AWS's query protocols (EC2's, IAM's and STS's), driven by botocore's models."""
