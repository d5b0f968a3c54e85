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

# One public subnet per zone; private subnets and route tables are dealt out in turn, as the vpc module places them.
module "nat" {
  source = "../.."

  name                        = "main"
  topology                    = "ring"
  vpc_id                      = module.vpc.vpc_id
  public_subnets              = module.vpc.public_subnets
  private_subnets_cidr_blocks = module.vpc.private_subnets_cidr_blocks
  private_route_table_ids     = module.vpc.private_route_table_ids
  instance_types              = ["t4g.nano", "t4g.micro"]
}
