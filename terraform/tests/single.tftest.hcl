# A group of one: what users of the former module expect.

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

variables {
  name                        = "main"
  vpc_id                      = "vpc-0a1b2c3d4e5f60718"
  public_subnet               = "subnet-0a1b2c3d4e5f60718"
  private_subnets_cidr_blocks = ["172.18.64.0/20", "172.18.80.0/20"]
  private_route_table_ids     = ["rtb-0a1b2c3d4e5f60718", "rtb-1a2b3c4d5e6f70819"]
}

run "article" {
  command = plan

  assert {
    condition     = [for route in aws_route.this : "${route.route_table_id} ${route.destination_cidr_block} ${route.network_interface_id}"] == [for table in var.private_route_table_ids : "${table} 0.0.0.0/0 eni-0a1b2c3d4e5f60718"]
    error_message = "Every table's default route leads to the interface."
  }
  assert {
    condition     = length(aws_eip.this) == 0 && length(aws_eip_association.this) == 0 && length(aws_route.led) == 0 && length(aws_ssm_parameter.agent) == local.code.parameters && length(aws_ssm_parameter.key) == 0
    error_message = "A user of the former module gets no address, no key, and nothing of a pair's."
  }
  assert {
    condition     = !aws_network_interface.this.source_dest_check && aws_network_interface.this.security_groups == toset(["sg-0a1b2c3d4e5f60718"]) && aws_network_interface.this.subnet_id == var.public_subnet
    error_message = "The interface forwards, in the public subnet, in the group."
  }
  assert {
    condition     = aws_security_group_rule.ingress_any.cidr_blocks == tolist(var.private_subnets_cidr_blocks) && aws_security_group_rule.ingress_any.protocol == "all" && aws_security_group_rule.egress.protocol == "all" && aws_security_group_rule.egress.cidr_blocks == tolist(["0.0.0.0/0"])
    error_message = "Everything of the private subnets comes in, everything goes out, UDP and ICMP too."
  }
  assert {
    condition     = aws_autoscaling_group.this["node"].min_size == 1 && aws_autoscaling_group.this["node"].max_size == 1 && aws_autoscaling_group.this["node"].desired_capacity == 1 && aws_autoscaling_group.this["node"].vpc_zone_identifier == toset([var.public_subnet])
    error_message = "A group of one in the public subnet."
  }
  assert {
    condition     = one(aws_autoscaling_group.this["node"].initial_lifecycle_hook).name == "evernat-ready" && one(aws_autoscaling_group.this["node"].initial_lifecycle_hook).default_result == "ABANDON"
    error_message = "The first node too is held back until it has proven NAT."
  }
  assert {
    condition     = aws_autoscaling_group.this["node"].mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 0 && aws_autoscaling_group.this["node"].mixed_instances_policy[0].launch_template[0].override[*].instance_type == tolist(["t3.nano", "t3a.nano"])
    error_message = "Spot, of the former module's types."
  }
  assert {
    condition     = aws_launch_template.this["node"].image_id == "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64" && aws_launch_template.this["node"].metadata_options[0].http_tokens == "required" && aws_launch_template.this["node"].block_device_mappings[0].ebs[0].encrypted == "true" && aws_launch_template.this["node"].credit_specification[0].cpu_credits == "standard"
    error_message = "Amazon Linux 2023 for the types' architecture, IMDSv2, an encrypted disk, no surplus credits."
  }
  assert {
    condition     = aws_launch_template.this["node"].user_data == base64gzip(local.user_data.real["node"])
    error_message = "The template has the user data."
  }
  assert {
    condition     = local.settings.real["node"] == jsonencode({ address = null, clients = var.private_subnets_cidr_blocks, firewall = local.firewall, code = [for i in range(local.code.parameters) : "/evernat/main-c90888dd/agent/${local.code.digest}/${i}"], forwards = [], group = "main20260102030405067800000001", hook = "evernat-ready", identity = "eni", interface = "eni-0a1b2c3d4e5f60718", places = var.egress_check, probe = null, stack = "main-c90888dd", version = local.manifest.version })
    error_message = "The node is told the interface, the clients and its group."
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.agent.policy).Statement : s.Sid] == ["Look", "MoveInterface", "CheckOff", "ReadParameters", "Report", "AnswerLaunchHook"] && jsondecode(aws_iam_role_policy.agent.policy).Statement[1].Resource == ["arn:aws:ec2:us-west-2:123456789012:network-interface/eni-0a1b2c3d4e5f60718", "arn:aws:ec2:us-west-2:123456789012:instance/*"]
    error_message = "The role may look, move this interface, and answer this group's hook."
  }
  assert {
    condition     = length(regexall("\\*", join("", flatten([for s in jsondecode(aws_iam_role_policy.agent.policy).Statement : s.Action])))) == 0
    error_message = "No action of the policy is a pattern."
  }
  assert {
    condition     = length(aws_iam_role_policy_attachment.ssm) == 0 && jsondecode(aws_iam_role_policy.session_manager[0].policy).Statement[0].Action == ["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
    error_message = "Session Manager gets in, and parameters stay shut."
  }
  assert {
    condition     = output.eni_id == "eni-0a1b2c3d4e5f60718" && output.eni_private_ip == "172.18.128.10" && output.sg_id == "sg-0a1b2c3d4e5f60718" && output.iam_role_name == "main20260102030405067800000002"
    error_message = "The former module's outputs."
  }
  assert {
    condition     = aws_security_group.this.tags == tomap({ Name = "nat-instance-main", "evernat:part" = "security-group", "evernat:stack" = "main-c90888dd" })
    error_message = "The former module's Name."
  }
}

run "choices" {
  command = plan

  variables {
    enabled               = false
    use_spot_instance     = false
    instance_types        = ["c7gn.medium"]
    key_name              = "operator"
    image_id              = "ami-0a1b2c3d4e5f60718"
    tags                  = { Name = "mine", Team = "network" }
    ssm_policy_arn        = "arn:aws:iam::123456789012:policy/ours"
    permissions_boundary  = "arn:aws:iam::123456789012:policy/boundary"
    root_volume           = { size = 20 }
    metadata_options      = { hop_limit = 2 }
    user_data_write_files = [{ path = "/opt/nat/dnat.sh", content = "#!/bin/sh\n", permissions = "0755" }]
    user_data_runcmd      = [["systemctl", "start", "dnat"]]
    elastic_ip            = "create"
    port_forwards = [
      { port = 8080, target = "name:web", target_port = 80, sources = ["198.51.100.0/24"] },
      { protocol = "udp", port = "5000-5010", target = "172.18.64.9" },
    ]
    node_ingress = [
      { port = 22, sources = ["198.51.100.0/24"] },
      { port = 22, sources = ["192.0.2.0/24", "198.51.100.0/24"] },
      { protocol = "icmp", sources = ["0.0.0.0/0"] },
    ]
    allow_transit      = ["172.18.0.0/24"]
    idle_timeout       = 350
    client_connections = 5000
  }

  assert {
    condition     = aws_autoscaling_group.this["node"].min_size == 0 && aws_autoscaling_group.this["node"].desired_capacity == 0
    error_message = "Not enabled: no node."
  }
  assert {
    condition     = aws_autoscaling_group.this["node"].mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 100
    error_message = "On demand."
  }
  assert {
    condition     = length(aws_launch_template.this["node"].credit_specification) == 0 && aws_launch_template.this["node"].key_name == "operator" && aws_launch_template.this["node"].image_id == "ami-0a1b2c3d4e5f60718"
    error_message = "No credits for types that have none; the key; the image."
  }
  assert {
    condition     = aws_launch_template.this["node"].block_device_mappings[0].ebs[0].volume_size == 20 && aws_launch_template.this["node"].metadata_options[0].http_put_response_hop_limit == 2
    error_message = "The disk's size, the hops."
  }
  assert {
    condition     = aws_security_group.this.tags["Name"] == "mine" && aws_launch_template.this["node"].tag_specifications[0].tags["Team"] == "network"
    error_message = "The user's tags win over Name, and are on the nodes."
  }
  assert {
    condition     = aws_iam_role.this.permissions_boundary == var.permissions_boundary && aws_iam_role_policy_attachment.ssm[0].policy_arn == var.ssm_policy_arn && length(aws_iam_role_policy.session_manager) == 0
    error_message = "The boundary and the policy."
  }
  assert {
    condition     = endswith(local.user_data.real["node"], "- [\"systemctl\",\"start\",\"dnat\"]\n") && strcontains(local.user_data.real["node"], "- {\"content\":\"#!/bin/sh\\n\",\"path\":\"/opt/nat/dnat.sh\",\"permissions\":\"0755\"}\nruncmd:\n")
    error_message = "The user's files and commands come last."
  }
  assert {
    condition     = { for key, rule in aws_security_group_rule.forward : key => "${rule.from_port}-${rule.to_port} ${join(",", rule.cidr_blocks)}" } == { "tcp-8080" = "8080-8080 198.51.100.0/24", "udp-5000-5010" = "5000-5010 0.0.0.0/0" }
    error_message = "Forwarded ports are open to their sources."
  }
  assert {
    condition     = { for key, rule in aws_security_group_rule.node_ingress : key => "${rule.from_port}-${rule.to_port} ${join(",", rule.cidr_blocks)}" } == { "icmp-any" = "-1--1 0.0.0.0/0", "tcp-22" = "22-22 198.51.100.0/24,192.0.2.0/24" }
    error_message = "So are the nodes' own ports."
  }
  assert {
    condition     = toset(concat([aws_security_group_rule.ingress_any.description], values(aws_security_group_rule.forward)[*].description, values(aws_security_group_rule.node_ingress)[*].description)) == toset(["evernat"])
    error_message = "Each rule in is marked as ours."
  }
  assert {
    condition     = jsonencode(jsondecode(local.settings.real["node"]).firewall) == jsonencode({ allow_transit = ["172.18.0.0/24"], client_connections = 5000, fast_path = "off", idle_timeout = 350, node_ingress = [["tcp", 22, 22, ["198.51.100.0/24"]], ["tcp", 22, 22, ["192.0.2.0/24", "198.51.100.0/24"]], ["icmp", -1, -1, ["0.0.0.0/0"]]], ssh = true })
    error_message = "The node is told what its firewall should be."
  }
  assert {
    condition     = aws_eip_association.this["node"].network_interface_id == "eni-0a1b2c3d4e5f60718" && !aws_eip_association.this["node"].allow_reassociation && output.public_ips == ["203.0.113.10"]
    error_message = "The module's address on the interface."
  }
}
