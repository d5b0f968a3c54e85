#!/bin/bash
# Forwards port 80 of the gateway to the running instance of one name, and follows it when it is replaced.
# Amazon Linux 2023: nftables instead of iptables, and interfaces found by address instead of called eth1.
table="ip dnat_example"

target() {
  aws ec2 describe-instances \
    --filters "Name=tag:Name,Values=${ec2_name}" "Name=instance-state-name,Values=running" \
    --query "Reservations[0].Instances[0].PrivateIpAddress" --output text
}

while sleep 30; do
  gateway="$(/usr/local/bin/evernat-agent status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["private_address"])')"
  to="$(target)"
  [ -n "$gateway" ] && [ "$to" != None ] || continue
  nft -f - <<RULES
table $table
delete table $table
table $table {
  chain in {
    type nat hook prerouting priority dstnat;
    ip daddr $gateway tcp dport 80 dnat to $to:80
  }
}
RULES
done
