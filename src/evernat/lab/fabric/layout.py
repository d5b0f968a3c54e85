"""The fixed places outside the instances, and how they are joined.

```
 instance            router                     isp                       internet
   ens5 ==== p-<eni> [routes, nft] igw0 ==== up0 [forwards] in0 ==== eth0   198.51.100.10  the internet host
   9001                        .130/30  1500  .129/30          .1/25        198.51.100.2   the AWS API
                                                                           198.51.100.3   checkip
                                                                           1.1.1.1, 8.8.8.8
```

The router is the VPC's router and its internet gateway in one. `hole0` is an interface that leads nowhere: what is sent
there is counted and dropped, while the kernel still answers ARP for it, as the VPC does.
"""

from __future__ import annotations

from evernat.lab.addresses import (
    API_HOST,
    AUTO_PUBLIC_POOL,
    CHECKIP_HOST,
    ELASTIC_POOL,
    INTERNET_HOST,
    METADATA,
)
from evernat.lab.addresses import PLACES as FAR_PLACES

PLACES = ("router", "isp", "internet")

IGW = "igw0"
HOLE = "hole0"
ROUTER_ADDRESS = "198.51.100.130"
"""The router's own address: the source of its ICMP errors."""
ISP_ADDRESS = "198.51.100.129"

VPC_MTU = 9001
"""AWS: instances talk 9001 inside a VPC (EC2 User Guide, "Network MTU for your EC2 instance")."""
INTERNET_MTU = 1500
"""AWS: an internet gateway carries 1500 (same page)."""

_QUIET = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}

FORWARDER_SETTINGS = {
    **_QUIET,
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    # Every "packet too big" and every hop of a traceroute counts here; the kernel's default is one per second.
    "ipv4/icmp_ratelimit": "0",
}

ROUTER_SETTINGS = {
    **FORWARDER_SETTINGS,
    "ipv4/conf/default/proxy_arp": "1",
}

INTERNET_SETTINGS = {**_QUIET, "ipv4/icmp_ratelimit": "0"}

ROUTER_SETUP = (
    "link set lo up",
    f"addr add {METADATA}/32 dev lo",
    f"link add {HOLE} type veth peer name hole1",
    f"link set {HOLE} up",
    "link set hole1 up",
    f"addr add {ROUTER_ADDRESS}/30 dev {IGW}",
    f"link set {IGW} up",
    f"route add default via {ISP_ADDRESS} dev {IGW} src {ROUTER_ADDRESS}",
)

ISP_SETUP = (
    "link set lo up",
    f"addr add {ISP_ADDRESS}/30 dev up0",
    "addr add 198.51.100.1/25 dev in0",
    "link set up0 up",
    "link set in0 up",
)

INTERNET_SETUP = (
    "link set lo up",
    f"addr add {INTERNET_HOST}/25 dev eth0",
    f"addr add {API_HOST}/25 dev eth0",
    f"addr add {CHECKIP_HOST}/25 dev eth0",
    *(f"addr add {address}/32 dev eth0" for address, _ in FAR_PLACES),
    "link set eth0 up",
    f"route add default via 198.51.100.1 src {INTERNET_HOST}",
)


def cable(near: str, far: str, far_namespace: int, mtu: int) -> str:
    """The `ip` line for a cable between `near` here and `far` in another namespace."""
    return (
        f"link add {near} mtu {mtu} type veth peer name {far} mtu {mtu} netns /proc/self/fd/{far_namespace}"
    )


def path_mtu(mtu: int) -> list[str]:
    """The isp's routes. Locked: the link carries 1500, but what exceeds `mtu` is answered by "packet too big".

    Both ways and by route rather than by the link's own MTU: so the hosts at either end know nothing of it and have to
    find out.
    """
    lock = f" mtu lock {mtu}" if mtu < INTERNET_MTU else ""
    beyond = ["198.51.100.0/25", *(f"{address}/32" for address, _ in FAR_PLACES)]
    return [
        f"route replace {ELASTIC_POOL} via {ROUTER_ADDRESS} dev up0{lock}",
        f"route replace {AUTO_PUBLIC_POOL} via {ROUTER_ADDRESS} dev up0{lock}",
        *(f"route replace {network} dev in0 src 198.51.100.1{lock}" for network in beyond),
    ]
