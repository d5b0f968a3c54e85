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

# Addresses that partners have in their firewalls, and that outlive the module.
resource "aws_eip" "nat" {
  domain = "vpc"
}

module "nat" {
  source = "../.."

  enabled                     = true
  name                        = "main"
  topology                    = "pair"
  identity                    = "address"
  vpc_id                      = module.vpc.vpc_id
  public_subnets              = slice(module.vpc.public_subnets, 0, 2)
  private_subnets_cidr_blocks = module.vpc.private_subnets_cidr_blocks
  private_route_table_ids     = module.vpc.private_route_table_ids
  elastic_ip_allocation_ids   = [aws_eip.nat.id]

  instance_types    = ["t4g.small", "t4g.medium"]
  use_spot_instance = false
  cpu_credits       = "unlimited"
  image_id          = ""
  key_name          = ""

  port_forwards = [
    { port = "443", target = "name:web" },
    { protocol = "udp", port = "27000-27015", target = "172.18.64.20", sources = ["198.51.100.0/24"] },
  ]

  root_volume      = { size = 8, encrypted = true }
  metadata_options = { hop_limit = 1, instance_tags = true }

  session_manager      = true
  ssm_policy_arn       = ""
  permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"

  user_data_write_files = [
    { path = "/etc/motd", content = "NAT\n" },
  ]
  user_data_runcmd = [
    ["dnf", "install", "-y", "tcpdump"],
  ]

  ready_timeout = "15m"
  tags          = { Team = "network" }
}
