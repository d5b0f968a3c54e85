output "eni_id" {
  description = "ID of the gateway's network interface, for an Elastic IP of your own (single; null in pair and ring)."
  value       = local.by_address ? null : aws_network_interface.this.id
}

output "eni_private_ip" {
  description = "Private IP of the gateway's network interface (single; null in pair and ring)."
  value       = local.by_address ? null : aws_network_interface.this.private_ip
}

output "sg_id" {
  description = "ID of the nodes' security group."
  value       = aws_security_group.this.id
}

output "iam_role_name" {
  description = "Name of the nodes' IAM role."
  value       = aws_iam_role.this.name
}

output "iam_role_arn" {
  description = "ARN of the nodes' IAM role."
  value       = aws_iam_role.this.arn
}

output "stack" {
  description = "Name of the stack, by which the evernat commands know it: the value of the tag evernat:stack."
  value       = local.stack
}

output "gateways" {
  description = "By home slot: name, home, standby, allocation ID and public address (null where the module did not make it), route tables and clients of each gateway."
  value = { for home, gateway in local.gateways : home => {
    name          = "${local.stack}${gateway.suffix}"
    home          = home
    standby       = gateway.standby
    allocation_id = local.addresses[home]
    public_ip     = local.create_address ? aws_eip.this[home].public_ip : null
    route_tables  = gateway.tables
    clients       = gateway.clients
  } }
}

output "public_ips" {
  description = "Public addresses of the gateways, where the module made them."
  value       = [for address in aws_eip.this : address.public_ip]
}

output "autoscaling_group_names" {
  description = "By slot: names of the Auto Scaling groups."
  value       = { for slot, group in aws_autoscaling_group.this : slot => group.name }
}

output "launch_template_ids" {
  description = "By slot: IDs of the launch templates."
  value       = { for slot, template in aws_launch_template.this : slot => template.id }
}

output "key_parameter" {
  description = "Name of the SSM parameter with the nodes' key (null in single)."
  value       = local.by_address ? local.key_parameter : null
}

output "report_parameters" {
  description = "By home slot: names of the SSM parameters in which the node in charge reports."
  value       = local.report_parameters
}

output "user_data_size" {
  description = "Bytes of the user data; EC2 takes 16384."
  value       = local.user_data_size
}

output "agent_version" {
  description = "Version of evernat that the nodes run."
  value       = local.manifest.version
}
