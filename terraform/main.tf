# What the stack consists of: nodes in slots, and gateways that move between them. Everything else follows from here.

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

# Nodes of a stack find each other, and their parameters, by its name: it must be unlike that of any other workspace.
resource "terraform_data" "stack" {
  # What it was when it was made; see the precondition that compares.
  input = local.ring

  lifecycle {
    ignore_changes = [input]
  }
}

locals {
  by_address = var.topology != "single" || var.identity == "address"
  ring       = var.topology == "ring"
  stack      = "${var.name}-${substr(terraform_data.stack.id, 0, 8)}"
  subnets    = length(var.public_subnets) > 0 ? var.public_subnets : [var.public_subnet]

  # Where gateways are addresses, nodes live in slots a, b, ... in the order of the subnets, a group each. Otherwise
  # there is one place, called node.
  slot_count = { single = 1, pair = 2, ring = min(length(local.subnets), 6) }[var.topology]
  slots      = local.by_address ? slice(["a", "b", "c", "d", "e", "f"], 0, local.slot_count) : ["node"]
  places = { for position, slot in local.slots : slot => {
    position  = position
    subnet    = local.subnets[min(position, length(local.subnets) - 1)]
    addresses = local.first + (local.ring ? 2 : 1)
  } }

  # Own: no gateway is on a node's primary private address, which keeps the public one that the node got at launch.
  node_address = var.node_address != null ? var.node_address : var.topology == "pair" ? "own" : "shared"
  first        = local.node_address == "own" ? 1 : 0

  table_slots  = length(var.private_route_table_slots) > 0 ? var.private_route_table_slots : [for i, _ in var.private_route_table_ids : local.slots[i % local.slot_count]]
  client_slots = length(var.private_subnet_slots) > 0 ? var.private_subnet_slots : [for i, _ in var.private_subnets_cidr_blocks : local.slots[i % local.slot_count]]

  forwards = [for f in var.port_forwards : {
    slot = f.slot
    node = {
      protocol    = f.protocol
      ports       = [tonumber(split("-", f.port)[0]), tonumber(reverse(split("-", f.port))[0])]
      target      = f.target
      target_port = f.target_port == null ? tonumber(split("-", f.port)[0]) : f.target_port
      sources     = f.sources
    }
  }]

  # What the nodes' own firewall is told.
  firewall = {
    idle_timeout       = var.idle_timeout
    client_connections = var.client_connections == null ? 0 : var.client_connections
    allow_transit      = var.allow_transit
    node_ingress = [for o in var.node_ingress : [
      o.protocol,
      o.port == null ? -1 : tonumber(split("-", o.port)[0]),
      o.port == null ? -1 : tonumber(reverse(split("-", o.port))[0]),
      o.sources,
    ]]
    ssh       = var.key_name != ""
    fast_path = var.fast_path
  }

  # By home slot. `index`: which of a node's private addresses the gateway has there; a guest takes the next one.
  gateways = { for i, home in local.ring ? local.slots : slice(local.slots, 0, 1) : home => {
    position = i
    suffix   = local.ring ? "-${home}" : ""
    standby  = local.slot_count > 1 ? local.slots[(i + 1) % local.slot_count] : ""
    index    = { for j, slot in compact([home, local.slot_count > 1 ? local.slots[(i + 1) % local.slot_count] : ""]) : slot => local.first + (local.ring ? j : 0) }
    tables   = [for j, table in var.private_route_table_ids : table if !local.ring || try(local.table_slots[j], "") == home]
    clients  = [for j, block in var.private_subnets_cidr_blocks : block if !local.ring || try(local.client_slots[j], "") == home]
    forwards = [for f in local.forwards : f.node if !local.ring || f.slot == home]
  } }

  create_address = length(var.elastic_ip_allocation_ids) == 0 && (var.elastic_ip == null ? local.by_address : var.elastic_ip == "create")
  own_address    = length(var.elastic_ip_allocation_ids) > 0
  addresses = { for home, gateway in local.gateways : home =>
    local.create_address ? aws_eip.this[home].id : local.own_address ? try(var.elastic_ip_allocation_ids[gateway.position], null) : null
  }

  group_names = { for slot in local.slots : slot => local.by_address ? "${aws_security_group.this.name}-${slot}" : aws_security_group.this.name }

  graviton  = can(regex("^(a1|[a-z]+[0-9]+g[a-z]*)[.-]", var.instance_types[0]))
  burstable = alltrue([for t in var.instance_types : startswith(t, "t")])

  tags = merge({ Name = "nat-instance-${var.name}" }, var.tags, { "evernat:stack" = local.stack })
}
