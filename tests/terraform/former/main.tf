# What the state of int128/nat-instance/aws holds, by the addresses of its resources and the arguments that matter when
# another module takes its place. Written for the tests; not that module.

variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "public_subnet" {
  type = string
}

variable "private_subnets_cidr_blocks" {
  type = list(string)
}

variable "private_route_table_ids" {
  type = list(string)
}

locals {
  tags = { Name = "nat-instance-${var.name}" }
}

resource "aws_security_group" "this" {
  name_prefix = var.name
  vpc_id      = var.vpc_id
  description = "Security group for NAT instance ${var.name}"
  tags        = local.tags
}

resource "aws_security_group_rule" "egress" {
  security_group_id = aws_security_group.this.id
  type              = "egress"
  cidr_blocks       = ["0.0.0.0/0"]
  protocol          = "tcp"
  from_port         = 0
  to_port           = 65535
}

resource "aws_security_group_rule" "ingress_any" {
  security_group_id = aws_security_group.this.id
  type              = "ingress"
  cidr_blocks       = var.private_subnets_cidr_blocks
  protocol          = "all"
  from_port         = 0
  to_port           = 65535
}

resource "aws_network_interface" "this" {
  subnet_id         = var.public_subnet
  security_groups   = [aws_security_group.this.id]
  source_dest_check = false
  description       = "ENI for NAT instance ${var.name}"
  tags              = local.tags
}

resource "aws_route" "this" {
  count = length(var.private_route_table_ids)

  route_table_id         = var.private_route_table_ids[count.index]
  destination_cidr_block = "0.0.0.0/0"
  network_interface_id   = aws_network_interface.this.id
}

resource "aws_launch_template" "this" {
  name_prefix = var.name
  image_id    = "ami-0f1e2d3c4b5a69788"
  user_data   = base64encode("#cloud-config\n")
  tags        = local.tags
}

resource "aws_autoscaling_group" "this" {
  name_prefix         = var.name
  desired_capacity    = 1
  min_size            = 1
  max_size            = 1
  vpc_zone_identifier = [var.public_subnet]

  mixed_instances_policy {
    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.this.id
        version            = "$Latest"
      }
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_iam_instance_profile" "this" {
  name_prefix = var.name
  role        = aws_iam_role.this.name
  tags        = local.tags
}

resource "aws_iam_role" "this" {
  name_prefix        = var.name
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
  tags               = local.tags
}

resource "aws_iam_role_policy_attachment" "ssm" {
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
  role       = aws_iam_role.this.name
}

resource "aws_iam_role_policy" "eni" {
  role        = aws_iam_role.this.name
  name_prefix = var.name
  policy      = jsonencode({ Version = "2012-10-17", Statement = [] })
}

output "eni_id" {
  value = aws_network_interface.this.id
}

output "sg_id" {
  value = aws_security_group.this.id
}

output "iam_role_name" {
  value = aws_iam_role.this.name
}
