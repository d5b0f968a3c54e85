# SSM parameters. When they boot nodes read the files of the agent that do not fit into user data, as plain text, and in
# a pair or ring the key by which they know each other's messages. Later they report in some.

# The key lies in Terraform's state, as every secret that Terraform makes. Keep the state where secrets belong.
resource "aws_ssm_parameter" "key" {
  count = local.by_address ? 1 : 0

  name        = local.key_parameter
  description = "evernat gateway ${local.stack}: key of its nodes"
  type        = "SecureString"
  value       = sha256(join("", [uuid(), uuid(), uuid()]))
  tags        = merge(local.tags, { "evernat:part" = "key" })

  lifecycle {
    # Made once: running nodes have read it.
    ignore_changes = [value]
  }
}

resource "aws_ssm_parameter" "agent" {
  for_each = toset([for i in range(local.code.parameters) : tostring(i)])

  name           = "${local.agent_folder}/${local.code.digest}/${each.key}"
  description    = "evernat gateway ${local.stack}: code of its nodes"
  type           = "String"
  insecure_value = chomp(file("${path.module}/agent/beside/${local.identity}/${each.key}.txt"))
  tags           = merge(local.tags, { "evernat:part" = "code" })

  # The names carry a digest: files of a new version lie beside the old ones until the nodes are told.
  lifecycle {
    create_before_destroy = true
  }
}

# Nodes overwrite these with what they know of their gateways. Here they are made so that they are removed.
resource "aws_ssm_parameter" "report" {
  for_each = merge(local.report_parameters, { for key, name in local.other_reports : key => "${local.report_folder}/${name}" })

  name           = each.value
  description    = "evernat gateway ${local.stack}: what its nodes report"
  type           = "String"
  insecure_value = "{}"
  tags           = merge(local.tags, { "evernat:part" = "report" })

  lifecycle {
    ignore_changes = [insecure_value, value]
  }
}
