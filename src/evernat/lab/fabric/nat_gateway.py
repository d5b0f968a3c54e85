"""A managed NAT gateway: a machine that translates and nothing else.

AWS (VPC User Guide, "NAT gateway basics" and "troubleshooting"): TCP, UDP and ICMP; idle flows end after 350 s, and who
goes on using one gets a reset; nothing comes in that did not go out before.
"""

from __future__ import annotations

from evernat.lab.fabric import guest

SETTINGS = {
    **guest.SETTINGS,
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/forwarding": "1",
    "ipv4/conf/default/forwarding": "1",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "ipv4/icmp_ratelimit": "0",
}

TRACKING = {"netfilter/nf_conntrack_tcp_timeout_established": "350", "netfilter/nf_conntrack_tcp_loose": "0"}
"""Settings that exist once the ruleset has made the kernel track connections."""


RULESET = """
table ip nat_gateway {
    chain forward {
        type filter hook forward priority filter; policy accept;
        ct state invalid meta l4proto tcp reject with tcp reset
        ct state invalid drop
    }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state related accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        masquerade
    }
}
"""
