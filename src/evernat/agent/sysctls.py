"""Settings under /proc/sys/net: pure."""

from __future__ import annotations


def must(link: str) -> dict[str, str]:
    """What must be set under /proc/sys/net, forwarding last.

    The switch for all is on as well: other programs read it (Docker, which finds it off, closes the forward hook).
    """
    here = f"ipv4/conf/{link}"
    return {
        # Loose: the way back to a client is by another interface when the policy rules do not see the lookup.
        f"{here}/rp_filter": "2",
        # In and out by one interface is what a gateway does; no reason to tell the client a shorter way.
        f"{here}/send_redirects": "0",
        "ipv4/conf/all/send_redirects": "0",
        f"{here}/accept_redirects": "0",
        # What the node itself answers goes out where the packet came in.
        "ipv4/icmp_errors_use_inbound_ifaddr": "1",
        "ipv4/fwmark_reflect": "1",
        "ipv4/ip_forward": "1",
        f"{here}/forwarding": "1",
    }


def should(pages: int, idle: int = 3600) -> dict[str, str]:
    """What should be set under /proc/sys/net. `pages` of memory: a tenth of it may go to connections;
    the kernel's own limit on a nano is 4,096 of them. `idle`: seconds a TCP connection may be silent."""
    flows = str(min(pages, 1 << 20))
    fragments = max(
        pages * 128, 4 << 20
    )  # bytes; a thirty-second of the memory, the kernel's default at least
    return {
        "netfilter/nf_conntrack_tcp_loose": "1",
        "netfilter/nf_conntrack_tcp_be_liberal": "1",
        "netfilter/nf_conntrack_events": "1",
        "netfilter/nf_conntrack_buckets": flows,
        "netfilter/nf_conntrack_max": flows,
        # The kernel's default is five days: who finishes handshakes and goes away would fill the table.
        "netfilter/nf_conntrack_tcp_timeout_established": str(idle),
        # `limits` counts no connection that is over, so such entries must go soon.
        "netfilter/nf_conntrack_tcp_timeout_time_wait": str(TIME_WAIT),
        # Parts of a packet arrive within milliseconds of each other. What waits for the rest of it takes memory from
        # everybody's fragments: by default 4 MB, for 30 seconds.
        "ipv4/ipfrag_high_thresh": str(fragments),
        "ipv4/ipfrag_low_thresh": str(fragments * 3 // 4),
        "ipv4/ipfrag_time": str(FRAGMENT_TIME),
    }


TIME_WAIT = 30
"""Seconds an entry is kept after its TCP connection has ended."""
FRAGMENT_TIME = 2
"""Seconds the parts of a packet wait for the rest of it."""
