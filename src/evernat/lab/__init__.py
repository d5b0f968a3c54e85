"""A cloud on one Linux machine: the AWS API, real packets, instances that boot."""
