"""The lab's fixed addresses outside the VPC, all from documentation ranges (RFC 5737)."""

from __future__ import annotations

ELASTIC_POOL = "203.0.113.0/24"
"""Elastic IPs come from here, the first is .7."""

AUTO_PUBLIC_POOL = "192.0.2.0/24"
"""Auto-assigned public addresses of instances, and NAT gateways' when they have no Elastic IP."""

INTERNET_HOST = "198.51.100.10"
"""The host on the internet: HTTP 80 (answers who called), TCP and UDP echo 7, push 8007, iperf3 5201."""

PLACES = (("1.1.1.1", 443), ("8.8.8.8", 443))
"""Further hosts of the internet: they take TCP connections. They play the addresses that an agent asks by default."""

API_HOST = "198.51.100.2"
"""The AWS API as a node sees it, plain HTTP on port 80."""

CHECKIP_HOST = "198.51.100.3"
"""Answers the address it is asked from, plain HTTP on port 80, as checkip.amazonaws.com does."""

METADATA = "169.254.169.254"
