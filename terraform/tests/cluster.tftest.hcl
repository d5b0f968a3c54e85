# Pair and ring: gateways that are addresses.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "us-west-2" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_resource "aws_security_group" {
    defaults = { id = "sg-0a1b2c3d4e5f60718", name = "main20260102030405067800000001" }
  }
  mock_resource "aws_network_interface" {
    defaults = { id = "eni-0a1b2c3d4e5f60718", private_ip = "172.18.128.10" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0a1b2c3d4e5f60718", latest_version = 3 }
  }
  mock_resource "aws_iam_role" {
    defaults = { name = "main20260102030405067800000002" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { name = "main20260102030405067800000003" }
  }
  mock_resource "aws_eip" {
    defaults = { id = "eipalloc-0a1b2c3d4e5f60718", public_ip = "203.0.113.10" }
  }
}

override_resource {
  target          = terraform_data.stack
  override_during = plan
  values          = { id = "c90888dd-1111-2222-3333-444455556666", output = false }
}

override_data {
  target = data.aws_subnet.public["a"]
  values = { availability_zone = "us-west-2a" }
}

override_data {
  target = data.aws_subnet.public["b"]
  values = { availability_zone = "us-west-2b" }
}

override_data {
  target = data.aws_subnet.public["c"]
  values = { availability_zone = "us-west-2c" }
}

variables {
  name                        = "main"
  vpc_id                      = "vpc-0a1b2c3d4e5f60718"
  private_subnets_cidr_blocks = ["172.18.64.0/20", "172.18.80.0/20", "172.18.96.0/20"]
  private_route_table_ids     = ["rtb-0a", "rtb-0b", "rtb-0c"]
  instance_types              = ["t4g.nano"]
}

run "pair" {
  command = plan

  variables {
    topology       = "pair"
    public_subnets = ["subnet-0a", "subnet-0b"]
  }

  assert {
    condition     = { for slot, group in aws_autoscaling_group.this : slot => one(group.vpc_zone_identifier) } == { a = "subnet-0a", b = "subnet-0b" }
    error_message = "A group in each subnet."
  }
  assert {
    condition     = alltrue([for group in aws_autoscaling_group.this : group.max_size == 2 && group.capacity_rebalance && group.instance_maintenance_policy[0].min_healthy_percentage == 100])
    error_message = "The new node is launched before the old one ends."
  }
  assert {
    condition     = [for slot, group in aws_autoscaling_group.this : "${slot} ${group.instance_refresh[0].preferences[0].min_healthy_percentage} ${group.instance_refresh[0].preferences[0].instance_warmup}"] == ["a 100 0", "b 100 300"]
    error_message = "A changed template replaces the nodes, one after the other."
  }
  assert {
    condition     = keys(aws_eip.this) == ["a"] && length(aws_eip_association.this) == 0 && length(aws_route.this) == 0
    error_message = "One address; the nodes associate it, and lead the routes."
  }
  assert {
    condition     = aws_eip.this["a"].tags["evernat:slots"] == "a b" && aws_eip.this["a"].tags["evernat:gateway"] == "main-c90888dd"
    error_message = "The address says who can hold it."
  }
  assert {
    condition     = join(" ", [for route in aws_route.led : route.route_table_id]) == "rtb-0a rtb-0b rtb-0c"
    error_message = "A route in every table."
  }
  assert {
    condition     = aws_security_group_rule.ingress_any.cidr_blocks == tolist(["0.0.0.0/0"]) && keys(aws_security_group_rule.members) == ["tcp", "udp"]
    error_message = "The untracked form, and the members' port."
  }
  assert {
    condition     = aws_ssm_parameter.key[0].type == "SecureString" && length(aws_ssm_parameter.agent) == local.code.parameters && alltrue([for p in aws_ssm_parameter.agent : startswith(p.name, "/evernat/main-c90888dd/agent/${local.code.digest}/") && length(p.insecure_value) <= 4096])
    error_message = "The key is encrypted, the agent's files fit into standard parameters."
  }
  assert {
    condition     = sha256(join("", [for piece in [for i in range(local.code.parameters) : aws_ssm_parameter.agent[i].insecure_value] : "${trimprefix(piece, "#\n")}\n"])) == sha256(join("", [for i in range(local.code.parameters) : "${trimprefix(chomp(file("agent/beside/address/${i}.txt")), "#\n")}\n"]))
    error_message = "What is stored is what the build wrote."
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.agent.policy).Statement : s.Sid] == ["Look", "MoveAddress", "CheckOff", "ReadParameters", "Report", "AnswerLaunchHook", "LeadRoutes"] && jsondecode(aws_iam_role_policy.agent.policy).Statement[6].Resource == [for table in var.private_route_table_ids : "arn:aws:ec2:us-west-2:123456789012:route-table/${table}"]
    error_message = "The role may move this address and lead these tables."
  }
  assert {
    condition     = output.eni_id == null && output.stack == "main-c90888dd" && output.user_data_size < 16384
    error_message = "No interface to put an address on; the stack's name; room in the user data."
  }
}

run "ring" {
  command = plan

  override_resource {
    target          = terraform_data.stack
    override_during = plan
    values          = { id = "c90888dd-1111-2222-3333-444455556666", output = true }
  }

  variables {
    topology       = "ring"
    public_subnets = ["subnet-0a", "subnet-0b", "subnet-0c"]
    port_forwards  = [{ port = 443, target = "name:web", slot = "b" }]
  }

  assert {
    condition     = { for home, g in output.gateways : home => [g.name, g.standby, one(g.route_tables), one(g.clients)] } == { a = ["main-c90888dd-a", "b", "rtb-0a", "172.18.64.0/20"], b = ["main-c90888dd-b", "c", "rtb-0b", "172.18.80.0/20"], c = ["main-c90888dd-c", "a", "rtb-0c", "172.18.96.0/20"] }
    error_message = "Each zone has its gateway, tables and clients; the next one stands by."
  }
  assert {
    condition     = alltrue([for template in aws_launch_template.this : template.network_interfaces[0].ipv4_address_count == 1])
    error_message = "A secondary address for the neighbour's gateway."
  }
  assert {
    condition     = [for g in jsondecode(local.settings.real["c"]).gateways : [g.home, tostring(g.index["c"]), tostring(length(g.forwards))]] == [["b", "1", "1"], ["c", "0", "0"]]
    error_message = "Node c knows its own gateway and its neighbour's, and where each has its address."
  }
}

run "single_by_address" {
  command = plan

  variables {
    identity                  = "address"
    public_subnet             = "subnet-0a"
    elastic_ip_allocation_ids = ["eipalloc-0f"]
  }

  assert {
    condition     = keys(aws_autoscaling_group.this) == ["a"] && length(aws_eip.this) == 0 && output.gateways["a"].standby == ""
    error_message = "One node, nobody stands by, the user's own address."
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.agent.policy).Statement : s.Resource if s.Sid == "MoveOwnAddress"][0] == ["arn:aws:ec2:us-west-2:123456789012:elastic-ip/eipalloc-0f"]
    error_message = "The role may move the user's address, named one by one."
  }
}
