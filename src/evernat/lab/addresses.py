"""The lab's fixed addresses outside the VPC, all from documentation ranges (RFC 5737)."""

from __future__ import annotations

ELASTIC_POOL = "203.0.113.0/24"
"""Elastic IPs come from here, the first is .7."""

AUTO_PUBLIC_POOL = "192.0.2.0/24"
"""Auto-assigned public addresses of instances, and NAT gateways' when they have no Elastic IP."""

INTERNET_HOST = "198.51.100.10"
"""The host on the internet: HTTP 80 (answers who called), TCP and UDP echo 7, push 8007, iperf3 5201."""

API_HOST = "198.51.100.2"
"""The AWS API as a node sees it, plain HTTP on port 80."""

METADATA = "169.254.169.254"
