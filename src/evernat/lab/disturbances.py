"""Ways to break a node's forwarding from inside: what other programs and people do on it. Pure.

Most are a shell script that runs in the node's network namespace. What a foreign table does stays until it is taken
away (`mend`); all else is the node's own business to repair.
"""

from __future__ import annotations

from typing import Literal, get_args

Disturbance = Literal[
    "forward-drop",
    "docker-forward",
    "firewalld-forward",
    "foreign-masquerade",
    "flush",
    "forwarding-off",
    "link-forwarding-off",
    "rules-flush",
    "routes-flush",
    "addresses-flush",
    "networkd",
    "check-on",
]
DISTURBANCES: tuple[Disturbance, ...] = get_args(Disturbance)

_FOREIGN = {
    "forward-drop": (
        "inet guard",
        "chain forward { type filter hook forward priority filter; policy drop; }",
    ),
    # As iptables-nft names it. Docker sets this policy when ip_forward was 0 as it came (its documentation,
    # "Packet filtering and firewalls"); its own chains accept for its own bridges only.
    "docker-forward": (
        "ip filter",
        """
        chain DOCKER { }
        chain DOCKER-USER { }
        chain DOCKER-FORWARD {
            oifname "docker0" ct state related,established counter accept
            oifname "docker0" counter jump DOCKER
            iifname "docker0" counter accept
        }
        chain FORWARD {
            type filter hook forward priority filter; policy drop;
            counter jump DOCKER-USER
            counter jump DOCKER-FORWARD
        }""",
    ),
    # Its chain says accept where ours would be asked last, keeps what is established, and rejects in a chain below.
    "firewalld-forward": (
        "inet firewalld",
        """
        chain filter_FWD_public { reject with icmpx admin-prohibited; }
        chain filter_FORWARD {
            type filter hook forward priority filter + 10; policy accept;
            ct state established,related accept
            ct status dnat accept
            jump filter_FWD_public
        }""",
    ),
    "foreign-masquerade": (
        "ip nat",
        'chain POSTROUTING { type nat hook postrouting priority srcnat - 1; oifname != "docker0" masquerade; }',
    ),
}
"""Tables that somebody else made: each with its family and name, and what is in it."""

_SCRIPTS = {
    **{how: f"echo 'table {name} {{\n{content}\n}}' | nft -f -" for how, (name, content) in _FOREIGN.items()},
    "flush": "nft flush ruleset",
    "forwarding-off": "echo 0 > /proc/sys/net/ipv4/ip_forward",
    "link-forwarding-off": "for link in /proc/sys/net/ipv4/conf/ens*; do echo 0 > $link/forwarding; done",
    # All but `local`: those of the kernel for `main` and `default` too.
    "rules-flush": "ip -4 rule flush",
    "routes-flush": (
        "ip -4 route show table all | sed -n 's/.* table \\([0-9][0-9]*\\).*/\\1/p' | sort -u |"
        " while read table; do ip -4 route flush table $table; done"
    ),
    # All but the address that DHCP gave to the first interface.
    "addresses-flush": (
        "ip -4 -o addr show scope global dev ens5 | tail -n +2 | while read _ _ _ address _;"
        " do ip addr del $address dev ens5; done;"
        " cd /proc/sys/net/ipv4/conf; for link in *; do case $link in all|default|lo|ens5) ;;"
        " *) ip -4 addr flush dev $link;; esac; done"
    ),
    # What systemd-networkd 252 does whenever it sets up a link: rules of others go, and all addresses with the routes
    # that need them. The fabric then puts its own back (source: networkd-manager.c, networkd-link.c).
    "networkd": (
        "ip -4 rule show | while IFS=: read number _; do case $number in 0|32766|32767) ;;"
        " *) ip -4 rule del pref $number;; esac; done;"
        " for link in /proc/sys/net/ipv4/conf/ens*; do ip -4 addr flush dev ${link##*/}; done"
    ),
}  # fmt: skip


def script(how: str) -> str:
    """What a shell has to do on the node; empty for those that are not done on the node."""
    return _SCRIPTS.get(how, "")


def standing(how: str) -> str:
    """What status says of a disturbance for as long as it lasts; empty for one that is just an event."""
    return f"foreign table {_FOREIGN[how][0]}" if how in _FOREIGN else ""


def undo(how: str) -> str:
    """What a shell has to do on the node to take a standing one away. It may be gone already."""
    return f"nft delete table {_FOREIGN[how][0]} 2>/dev/null || true"
