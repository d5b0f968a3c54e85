# The nodes' user data. The agent's files come from agent/, which `make terraform` writes from src/evernat/agent; a test
# proves that the text here is, byte for byte, that of src/evernat/bundle.

locals {
  manifest = jsondecode(file("${path.module}/agent/manifest.json"))
  identity = local.by_address ? "address" : "eni"
  code     = local.manifest[local.identity]
  port     = 4817
  hook     = "evernat-ready"

  key_parameter = "/evernat/${local.stack}/key"
  agent_folder  = "/evernat/${local.stack}/agent"

  report_folder     = "/evernat/${local.stack}/report"
  report_parameters = { for home, gateway in local.gateways : home => "${local.report_folder}/${local.stack}${gateway.suffix}" }

  # What else nodes report: why one gave up, by slot, and when one last had itself replaced.
  other_reports = merge({ for slot in local.slots : "node-${slot}" => local.by_address ? "node-${slot}" : "node" }, { replacement = "replacement" })

  # Settings that name things which do not exist yet are known late. The size of the user data is judged with ids that
  # are as long, so that a mistake shows in the plan.
  ids = {
    real = {
      stack     = local.stack
      interface = aws_network_interface.this.id
      addresses = local.addresses
      groups    = local.group_names
    }
    likely = {
      stack     = "${var.name}-0f1e2d3c"
      interface = "eni-0f1e2d3c4b5a69788"
      addresses = { for home, _ in local.gateways : home => local.create_address || local.own_address ? "eipalloc-0a1b2c3d4e5f60718" : null }
      groups    = { for slot in local.slots : slot => "${var.name}20260102030405067800000001${local.by_address ? "-${slot}" : ""}" }
    }
  }

  gateway_settings = { for kind, ids in local.ids : kind => [for home, gateway in local.gateways : {
    name     = "${ids.stack}${gateway.suffix}"
    address  = ids.addresses[home]
    home     = home
    standby  = gateway.standby
    index    = gateway.index
    tables   = gateway.tables
    clients  = gateway.clients
    forwards = gateway.forwards
  }] }

  code_names = { for kind, ids in local.ids : kind => [for i in range(local.code.parameters) : "/evernat/${ids.stack}/agent/${local.code.digest}/${i}"] }

  settings = { for kind, ids in local.ids : kind => { for slot, _ in local.places : slot => local.by_address ? jsonencode({
    stack         = ids.stack
    slot          = slot
    slots         = local.slots
    gateways      = [for gateway in local.gateway_settings[kind] : gateway if contains([gateway.home, gateway.standby], slot)]
    group         = ids.groups[slot]
    key_parameter = "/evernat/${ids.stack}/key"
    port          = local.port
    hook          = local.hook
    identity      = "address"
    probe         = null
    version       = local.manifest.version
    code          = local.code_names[kind]
    firewall      = local.firewall
    places        = var.egress_check
    }) : jsonencode({
    stack     = ids.stack
    interface = ids.interface
    clients   = var.private_subnets_cidr_blocks
    group     = ids.groups[slot]
    address   = lookup(ids.addresses, slot, null)
    forwards  = local.forwards[*].node
    hook      = local.hook
    identity  = "eni"
    probe     = null
    version   = local.manifest.version
    code      = local.code_names[kind]
    firewall  = local.firewall
    places    = var.egress_check
  }) } }

  # JSON holds these as they are. YAML 1.1 takes one for the end of a line, and refuses the others: they are escaped, by
  # the rule of src/evernat/bundle/text.py. (jsonencode escapes U+0000-1F, U+2028 and U+2029 itself.)
  unprintable = { for n in concat(range(127, 160), [65279, 65534, 65535]) : jsondecode(format("\"\\u%04x\"", n)) => format("\\u%04x", n) }

  added_texts = { for kind, entries in { files = var.user_data_write_files, runcmd = var.user_data_runcmd } : kind => join("", [for entry in entries : "- ${jsonencode(entry)}\n"]) }
  added       = { for kind, text in local.added_texts : kind => join("", [for c in split("", text) : lookup(local.unprintable, c, c)]) }

  cloud_config = split("# evernat:cut\n", file("${path.module}/agent/${local.identity}.yaml"))
  user_data = { for kind, settings in local.settings : kind => { for slot, text in settings : slot => join("", concat(
    [local.cloud_config[0], "   "], [for c in split("", text) : lookup(local.unprintable, c, c)],
    ["\n", local.cloud_config[1], local.added.files, local.cloud_config[2], local.added.runcmd],
  )) } }

  # Bytes before base64, of the longest.
  user_data_size = max([for text in values(local.user_data.likely) : floor(length(replace(base64gzip(text), "=", "")) * 3 / 4)]...)
}
