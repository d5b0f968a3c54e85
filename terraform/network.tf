# Security group, persistent interface, Elastic IPs, default routes.

locals {
  blocks = [for i, block in var.private_subnets_cidr_blocks : {
    slot    = try(local.client_slots[i], "")
    network = split("/", block)[0]
    prefix  = try(tonumber(split("/", block)[1]), 0)
  }]

  forward_rules = local.by_address ? {} : { for f in local.forwards : "${f.node.protocol}-${join("-", distinct(f.node.ports))}" => f.node }
}

resource "aws_security_group" "this" {
  name_prefix = var.name
  vpc_id      = var.vpc_id
  # As in int128/nat-instance/aws: another text would replace the group.
  description = "Security group for NAT instance ${var.name}"
  tags        = merge(local.tags, { "evernat:part" = "security-group" })

  lifecycle {
    precondition {
      condition     = (var.public_subnet == null) != (length(var.public_subnets) == 0)
      error_message = "Give public_subnet, or public_subnets, and not both."
    }
    precondition {
      condition     = var.topology != "single" || length(local.subnets) == 1
      error_message = "A single gateway lives in one subnet: give public_subnet alone, or set topology to pair or ring."
    }
    precondition {
      condition     = var.topology != "pair" || length(local.subnets) <= 2
      error_message = "A pair lives in one or two subnets: shorten public_subnets, or set topology = \"ring\"."
    }
    precondition {
      condition     = !local.ring || length(local.subnets) >= 2
      error_message = "A ring needs public_subnets in two zones at least; for one zone set topology = \"pair\"."
    }
    precondition {
      condition     = !local.ring || length(distinct([for subnet in data.aws_subnet.public : subnet.availability_zone])) == length(data.aws_subnet.public)
      error_message = "Two of public_subnets are in one zone: name one subnet in each zone, or set topology = \"pair\"."
    }
    precondition {
      # Blocks of two gateways overlap when they are one network at the shorter of their prefixes.
      condition = !local.ring || alltrue(flatten([for i, a in local.blocks : [for j, b in local.blocks : try(
        i >= j || a.slot == b.slot || cidrhost("${a.network}/${min(a.prefix, b.prefix)}", 0) != cidrhost("${b.network}/${min(a.prefix, b.prefix)}", 0),
      true)]]))
      error_message = "In a ring no two gateways may serve the same clients: private_subnets_cidr_blocks of different slots overlap; list the block of each subnet by itself."
    }
    precondition {
      condition     = alltrue([for gateway in local.gateways : length(gateway.clients) > 0])
      error_message = "A gateway of the ring would serve nobody: give each a CIDR block in private_subnets_cidr_blocks, or take its subnet out of public_subnets."
    }
    precondition {
      condition     = terraform_data.stack.output == local.ring
      error_message = "This stack cannot become a ring or cease to be one: all its gateways would be other ones, at other addresses. Make the new one in a module call of its own with another name, then remove this one."
    }
    precondition {
      condition     = var.topology == "single" || var.identity != "eni"
      error_message = "An interface cannot move to another zone: leave identity out, or set topology = \"single\"."
    }
    precondition {
      condition     = var.fast_path == "off" || local.slot_count == 1 || local.node_address == "own"
      error_message = "fast_path cannot be on while a gateway is on its node's primary address: what bypasses the rules would go on under a stranger's address when the agent dies. Set node_address = \"own\"."
    }
    precondition {
      condition     = local.by_address || var.node_address == null
      error_message = "node_address is for gateways that are addresses: leave it out, or set identity = \"address\"."
    }
    precondition {
      # Nano and micro take two IPv4 addresses per interface, all larger types four or more.
      condition     = !local.ring || local.node_address == "shared" || !anytrue([for type in var.instance_types : can(regex("[.](nano|micro)$", type))])
      error_message = "A node of this ring needs three IPv4 addresses, and nano and micro types take two: choose larger instance_types, or set node_address = \"shared\"."
    }
    precondition {
      condition     = !local.by_address || local.own_address || var.elastic_ip != "none"
      error_message = "The address is what moves from node to node: set elastic_ip = \"create\", or give elastic_ip_allocation_ids."
    }
    precondition {
      condition     = !local.own_address || length(var.elastic_ip_allocation_ids) == length(local.gateways)
      error_message = "Give one of elastic_ip_allocation_ids for each gateway (${length(local.gateways)}), or leave the list out."
    }
    precondition {
      condition     = !local.own_address || var.elastic_ip == null
      error_message = "elastic_ip stands beside elastic_ip_allocation_ids: give one of the two."
    }
    precondition {
      condition     = local.ring || length(concat(var.private_route_table_slots, var.private_subnet_slots, compact(var.port_forwards[*].slot))) == 0
      error_message = "Slots are for a ring, elsewhere there is one gateway: remove private_route_table_slots, private_subnet_slots and slot."
    }
    precondition {
      condition     = !local.ring || length(local.table_slots) == length(var.private_route_table_ids) && length(local.client_slots) == length(var.private_subnets_cidr_blocks)
      error_message = "private_route_table_slots and private_subnet_slots must have one entry for each table and each CIDR block."
    }
    precondition {
      condition     = !local.ring || length(setsubtract(concat(local.table_slots, local.client_slots, var.port_forwards[*].slot), local.slots)) == 0
      error_message = "In a ring each port forward names its slot, and slots are those of public_subnets: ${join(", ", local.slots)}."
    }
    precondition {
      condition     = !local.ring || length(var.private_route_table_slots) > 0 || length(var.private_route_table_ids) % local.slot_count == 0
      error_message = "In a ring each gateway needs its own route tables, and ${length(var.private_route_table_ids)} tables cannot be dealt out to ${local.slot_count} gateways in turn: make a table for each zone, or say whose each is in private_route_table_slots."
    }
    precondition {
      condition     = !local.ring || length(var.private_subnet_slots) > 0 || length(var.private_subnets_cidr_blocks) % local.slot_count == 0
      error_message = "In a ring ${length(var.private_subnets_cidr_blocks)} CIDR blocks cannot be dealt out to ${local.slot_count} gateways in turn: say whose each is in private_subnet_slots."
    }
  }
}

resource "aws_security_group_rule" "egress" {
  security_group_id = aws_security_group.this.id
  type              = "egress"
  cidr_blocks       = ["0.0.0.0/0"]
  from_port         = 0
  to_port           = 65535
  protocol          = "all"

  # Coming from a module whose rule lets only TCP out: the new one is there before the old one goes.
  lifecycle {
    create_before_destroy = true
  }
}

# Where gateways change nodes everything may come in: only the untracked form surely lets a connection arrive in
# mid-stream at another interface. The nodes' own firewall keeps strangers out.
#
# The description of all rules in: the nodes let in what other rules on this group let in, and these are not such.
resource "aws_security_group_rule" "ingress_any" {
  description       = "evernat"
  security_group_id = aws_security_group.this.id
  type              = "ingress"
  cidr_blocks       = local.by_address ? ["0.0.0.0/0"] : var.private_subnets_cidr_blocks
  from_port         = 0
  to_port           = 65535
  protocol          = "all"
}

resource "aws_security_group_rule" "members" {
  for_each = toset(local.by_address ? ["tcp", "udp"] : [])

  description       = "evernat"
  security_group_id = aws_security_group.this.id
  type              = "ingress"
  self              = true
  from_port         = local.port
  to_port           = local.port
  protocol          = each.key
}

resource "aws_security_group_rule" "forward" {
  for_each = local.forward_rules

  description       = "evernat"
  security_group_id = aws_security_group.this.id
  type              = "ingress"
  cidr_blocks       = each.value.sources
  from_port         = each.value.ports[0]
  to_port           = each.value.ports[1]
  protocol          = each.value.protocol
}

resource "aws_security_group_rule" "node_ingress" {
  for_each = local.by_address ? {} : { for o in var.node_ingress : "${o.protocol}-${o.port == null ? "any" : o.port}" => o... }

  description       = "evernat"
  security_group_id = aws_security_group.this.id
  type              = "ingress"
  cidr_blocks       = distinct(flatten(each.value[*].sources))
  from_port         = each.value[0].port == null ? -1 : tonumber(split("-", each.value[0].port)[0])
  to_port           = each.value[0].port == null ? -1 : tonumber(reverse(split("-", each.value[0].port))[0])
  protocol          = each.value[0].protocol
}

# single: the gateway itself; the node that has it is the gateway. pair and ring: where routes lead until a node takes
# them, because Terraform cannot make a route without a target.
resource "aws_network_interface" "this" {
  security_groups   = [aws_security_group.this.id]
  subnet_id         = local.subnets[0]
  source_dest_check = false
  description       = "evernat gateway ${var.name}"
  tags              = local.by_address ? local.tags : merge(local.tags, { "evernat:part" = "interface" })
}

resource "aws_eip" "this" {
  for_each = local.create_address ? local.gateways : {}

  domain = "vpc"
  tags = merge(local.tags, { "evernat:part" = "address" }, local.by_address ? {
    "evernat:gateway" = "${local.stack}${each.value.suffix}"
    "evernat:slots"   = join(" ", compact([each.key, each.value.standby]))
  } : {})

  lifecycle {
    # The operator's wish to have the gateway moved; the nodes read it.
    ignore_changes = [tags["evernat:handover"], tags_all["evernat:handover"]]
  }
}

# Where gateways are addresses, nodes associate them.
resource "aws_eip_association" "this" {
  for_each = local.by_address || !(local.create_address || local.own_address) ? {} : local.gateways

  allocation_id        = local.addresses[each.key]
  network_interface_id = aws_network_interface.this.id
  allow_reassociation  = false
}

# Keyed by position: the IDs of tables that are made in the same run are not known in time.
resource "aws_route" "this" {
  for_each = local.by_address ? {} : { for i, id in var.private_route_table_ids : tostring(i) => id }

  route_table_id         = each.value
  destination_cidr_block = "0.0.0.0/0"
  network_interface_id   = aws_network_interface.this.id

  # Only after a node has proven that NAT works.
  depends_on = [aws_autoscaling_group.this]
}

# Nodes lead these. Here they are made, so that a default route of somebody else's is not replaced without a word, and
# removed.
resource "aws_route" "led" {
  for_each = local.by_address ? { for i, id in var.private_route_table_ids : tostring(i) => id } : {}

  route_table_id         = each.value
  destination_cidr_block = "0.0.0.0/0"
  network_interface_id   = aws_network_interface.this.id

  lifecycle {
    ignore_changes = [network_interface_id]
  }
}

data "aws_subnet" "public" {
  for_each = local.ring ? local.places : {}

  id = each.value.subnet
}
