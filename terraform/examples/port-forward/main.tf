provider "aws" {
  region = "us-west-2"
}

module "vpc" {
  source = "terraform-aws-modules/vpc/aws"

  name                 = "main"
  cidr                 = "172.18.0.0/16"
  azs                  = ["us-west-2a", "us-west-2b", "us-west-2c"]
  private_subnets      = ["172.18.64.0/20", "172.18.80.0/20", "172.18.96.0/20"]
  public_subnets       = ["172.18.128.0/20", "172.18.144.0/20", "172.18.160.0/20"]
  enable_dns_hostnames = true
}

module "nat" {
  source = "../.."

  name                        = "example"
  vpc_id                      = module.vpc.vpc_id
  public_subnet               = module.vpc.public_subnets[0]
  private_subnets_cidr_blocks = module.vpc.private_subnets_cidr_blocks
  private_route_table_ids     = module.vpc.private_route_table_ids

  # The module's own way: no script, no further permission, no further rule.
  port_forwards = [
    { port = 8080, target = "name:example-web", target_port = 80, sources = ["198.51.100.0/24"] },
  ]

  # Or a way of your own: a script, and a unit that runs it.
  user_data_write_files = [
    {
      path : "/opt/nat/dnat.sh",
      content : templatefile("${path.module}/dnat.sh", { ec2_name = "example-web" }),
      permissions : "0755",
    },
    {
      path : "/etc/systemd/system/dnat.service",
      content : file("${path.module}/dnat.service"),
    },
  ]
  user_data_runcmd = [
    ["systemctl", "enable", "dnat"],
    ["systemctl", "start", "dnat"],
  ]
}

resource "aws_eip" "nat" {
  network_interface = module.nat.eni_id
  tags = {
    "Name" = "nat-instance-example"
  }
}

# What the script may do.
resource "aws_iam_role_policy" "dnat_service" {
  role = module.nat.iam_role_name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["ec2:DescribeInstances"], Resource = "*" }]
  })
}

# Who may connect to what the script forwards.
resource "aws_security_group_rule" "dnat_http" {
  description       = "expose HTTP service"
  security_group_id = module.nat.sg_id
  type              = "ingress"
  protocol          = "tcp"
  from_port         = 80
  to_port           = 80
  cidr_blocks       = ["0.0.0.0/0"]
}
