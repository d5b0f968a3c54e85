# The first part is the interface of int128/nat-instance/aws, so that it is replaced by changing `source`.

variable "enabled" {
  description = "False keeps everything but the nodes: nothing runs, nothing is forwarded."
  type        = bool
  default     = true
  nullable    = false
}

variable "name" {
  description = "Name of the gateway. Names of resources begin with it, so workspaces may share one."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_.-]{0,37}$", var.name))
    error_message = "name: use up to 38 letters, digits, \"-\", \"_\" or \".\", the first a letter or digit (IAM takes no longer prefix)."
  }
}

variable "vpc_id" {
  description = "ID of the VPC."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id: give the ID of a VPC, such as vpc-0a1b2c3d4e5f60718 (module.vpc.vpc_id)."
  }
}

variable "public_subnet" {
  description = "ID of the public subnet in which the node lives. Several go into `public_subnets`."
  type        = string
  default     = null

  validation {
    condition     = var.public_subnet == null ? true : can(regex("^subnet-[0-9a-f]+$", var.public_subnet))
    error_message = "public_subnet: give the ID of a subnet with a route to an internet gateway, such as module.vpc.public_subnets[0]."
  }
}

variable "private_subnets_cidr_blocks" {
  description = "CIDR blocks of the private subnets: who may use the gateway."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.private_subnets_cidr_blocks) > 0
    error_message = "private_subnets_cidr_blocks: list the CIDR block of one private subnet at least, else nobody may use the gateway."
  }

  validation {
    condition     = alltrue([for block in var.private_subnets_cidr_blocks : try(cidrsubnet(block, 0, 0) == block && can(cidrnetmask(block)), false)])
    error_message = "private_subnets_cidr_blocks: write each as an IPv4 network in prefix form without host bits, such as 172.18.64.0/20."
  }

  validation {
    condition     = length(distinct(var.private_subnets_cidr_blocks)) == length(var.private_subnets_cidr_blocks)
    error_message = "private_subnets_cidr_blocks: a block is listed twice; remove one."
  }
}

variable "private_route_table_ids" {
  description = "IDs of the route tables whose default route is to lead to the gateway. They must have no default route of their own."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.private_route_table_ids : can(regex("^rtb-[0-9a-f]+$", id))])
    error_message = "private_route_table_ids: give IDs of route tables, such as module.vpc.private_route_table_ids; an empty list sets no routes."
  }
}

variable "image_id" {
  description = "AMI of the nodes, with cloud-init and Python 3.9 or later. Empty: the newest Amazon Linux 2023 for the architecture of `instance_types`, looked up at each launch."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(ami-[0-9a-f]+|resolve:ssm:.+)?$", var.image_id))
    error_message = "image_id: give the ID of an AMI (ami-...), resolve:ssm:<parameter>, or \"\" for Amazon Linux 2023."
  }
}

variable "instance_types" {
  description = "Instance types to choose from, all of one architecture. In a ring each must take two private addresses on an interface."
  type        = list(string)
  default     = ["t3.nano", "t3a.nano"]
  nullable    = false

  validation {
    condition     = length(var.instance_types) >= 1 && length(var.instance_types) <= 40 && alltrue([for t in var.instance_types : can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", t))])
    error_message = "instance_types: list 1 to 40 types, such as t4g.nano."
  }

  validation {
    # The letters after the generation name the processor; g is AWS Graviton.
    condition     = length(distinct([for t in var.instance_types : can(regex("^(a1|[a-z]+[0-9]+g[a-z]*)[.-]", t))])) == 1
    error_message = "instance_types: they mix arm64 (Graviton, such as t4g) and x86_64; keep types of one architecture."
  }
}

variable "use_spot_instance" {
  description = "Spot instead of on demand."
  type        = bool
  default     = true
  nullable    = false
}

variable "key_name" {
  description = "SSH key pair of the nodes. Empty: none; Session Manager needs none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[^\\x00-\\x1f\\x7f-\\x{9f}\\x{2028}\\x{2029}\\x{feff}\\x{fffe}\\x{ffff}]*$", var.key_name))
    error_message = "key_name: it has a character that does not print, or ends a line."
  }
}

variable "tags" {
  description = "Tags for everything the module makes. They win over `Name`, not over those of evernat (evernat:...)."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key in keys(var.tags) : !can(regex("^(aws|evernat):", lower(key)))])
    error_message = "tags: the prefixes aws: and evernat: are reserved; rename the tag."
  }

  validation {
    condition     = length(var.tags) <= 40 && alltrue([for key, value in var.tags : key != "" && length(split("", key)) <= 128 && length(split("", value)) <= 256])
    error_message = "tags: at most 40, each key up to 128 characters, each value up to 256."
  }

  validation {
    condition     = alltrue([for key, value in var.tags : can(regex("^[^\\x00-\\x1f\\x7f-\\x{9f}\\x{2028}\\x{2029}\\x{feff}\\x{fffe}\\x{ffff}]*$", "${key}${value}"))])
    error_message = "tags: one has a character that does not print, or ends a line."
  }
}

variable "user_data_write_files" {
  description = "Entries added to cloud-init's write_files."
  type        = list(any)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for entry in var.user_data_write_files : can(regex("^/", entry.path))])
    error_message = "user_data_write_files: each entry needs a path that begins with /."
  }

  validation {
    condition     = alltrue([for entry in var.user_data_write_files : can(regex("^[^\\x00-\\x1f\\x7f-\\x{9f}\\x{2028}\\x{2029}\\x{feff}\\x{fffe}\\x{ffff}]*$", entry.path))])
    error_message = "user_data_write_files: a path has a character that does not print, or ends a line."
  }

  # What follows looks at entries as JSON, which alone has no fixed type: at their keys, then at what is left without texts.
  validation {
    condition = alltrue(flatten([for entry in var.user_data_write_files : [
      for text in regexall("\"(?:[^\"\\\\]|\\\\.)*\":?", jsonencode(entry)) : can(regex("^[^\\x00-\\x1f\\x7f-\\x{9f}\\x{2028}\\x{2029}\\x{feff}\\x{fffe}\\x{ffff}]*$", jsondecode(trimsuffix(text, ":"))))
      && length(split("", text)) <= 1001 if endswith(text, ":")
    ]]))
    error_message = "user_data_write_files: a key has a character that does not print or ends a line, or takes more than 998."
  }

  validation {
    condition = alltrue([for entry in var.user_data_write_files :
      !can(regex("[.]|[0-9]{19}", replace(jsonencode(entry), "/\"(?:[^\"\\\\]|\\\\.)*\"/", "")))
    ])
    error_message = "user_data_write_files: numbers are whole, of at most 18 digits; write others as text, in quotes."
  }

  validation {
    # Takes the innermost brackets away, four times.
    condition = alltrue([for entry in var.user_data_write_files : replace(replace(replace(replace(
      replace(jsonencode(entry), "/\"(?:[^\"\\\\]|\\\\.)*\"/", ""),
      "/[\\[{][^\\[\\]{}]*[\\]}]/", ""), "/[\\[{][^\\[\\]{}]*[\\]}]/", ""), "/[\\[{][^\\[\\]{}]*[\\]}]/", ""), "/[\\[{][^\\[\\]{}]*[\\]}]/", "") == ""
    ])
    error_message = "user_data_write_files: an entry is nested deeper than 4 levels."
  }
}

variable "user_data_runcmd" {
  description = "Entries added to cloud-init's runcmd, after the module's own."
  type        = list(list(string))
  default     = []
  nullable    = false
}

variable "ssm_policy_arn" {
  description = "Policy that lets Session Manager in, known when planning. Empty: an inline one of just that. For none, or to attach a policy of the same configuration yourself, set `session_manager = false`."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:iam::[0-9a-z]*:policy/[!-~]+)?$", var.ssm_policy_arn))
    error_message = "ssm_policy_arn: give the ARN of an IAM policy, \"\" for an inline one of just what is needed, or set session_manager = false to do without."
  }
}

# From here on ours.

variable "topology" {
  description = "single: one gateway, one node. pair: one gateway, two nodes. ring: a gateway and a node per public subnet, each node also the standby of the next one's gateway."
  type        = string
  default     = "single"
  nullable    = false

  validation {
    condition     = contains(["single", "pair", "ring"], var.topology)
    error_message = "topology: choose single, pair or ring."
  }
}

variable "public_subnets" {
  description = "IDs of the public subnets in which nodes live: one or two for a pair, one per zone for a ring."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.public_subnets) <= 6 && length(distinct(var.public_subnets)) == length(var.public_subnets)
    error_message = "public_subnets: list each subnet once, six at most."
  }
}

variable "identity" {
  description = "What moves to another node: eni (a network interface; only single, and its default) or address (the Elastic IP and the routes; pair and ring)."
  type        = string
  default     = null

  validation {
    condition     = var.identity == null ? true : contains(["eni", "address"], var.identity)
    error_message = "identity: choose eni or address, or leave it out."
  }
}

variable "node_address" {
  description = "own: a gateway's Elastic IP is on a secondary private address of its node, which keeps its public one (default of a pair; one public IPv4 more). shared: it takes the place of the node's."
  type        = string
  default     = null

  validation {
    condition     = var.node_address == null ? true : contains(["own", "shared"], var.node_address)
    error_message = "node_address: choose own or shared, or leave it out."
  }
}

variable "elastic_ip" {
  description = "create: the module allocates an Elastic IP for each gateway. none: you associate one with `eni_id` yourself (single only, and its default)."
  type        = string
  default     = null

  validation {
    condition     = var.elastic_ip == null ? true : contains(["create", "none"], var.elastic_ip)
    error_message = "elastic_ip: choose create or none; Elastic IPs of your own go into elastic_ip_allocation_ids."
  }
}

variable "elastic_ip_allocation_ids" {
  description = "Allocation IDs of Elastic IPs of your own, one for each gateway. Nothing else may associate them."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.elastic_ip_allocation_ids : can(regex("^eipalloc-[0-9a-f]+$", id))])
    error_message = "elastic_ip_allocation_ids: give allocation IDs (eipalloc-..., the id of an aws_eip), not addresses."
  }
}

variable "port_forwards" {
  description = "Connections to the gateway's public address that are passed on. `port`: one, or a range such as \"8000-8010\". `target`: an address, an instance ID, or name:<Name tag>. `slot`: in a ring, the gateway (a, b, ...) whose address takes them: that of the target's zone."
  type = list(object({
    protocol    = optional(string, "tcp")
    port        = string
    target      = string
    target_port = optional(number)
    sources     = optional(list(string), ["0.0.0.0/0"])
    slot        = optional(string, "")
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for f in var.port_forwards : contains(["tcp", "udp"], f.protocol)])
    error_message = "port_forwards: protocol is tcp or udp."
  }

  validation {
    condition = alltrue([for f in var.port_forwards : try(
      can(regex("^[0-9]+(-[0-9]+)?$", f.port))
      && tonumber(split("-", f.port)[0]) >= 1
      && tonumber(split("-", f.port)[0]) <= tonumber(reverse(split("-", f.port))[0])
      && tonumber(reverse(split("-", f.port))[0]) <= 65535,
    false)])
    error_message = "port_forwards: port is one from 1 to 65535, or a range such as \"8000-8010\" with the lower one first."
  }

  validation {
    condition = alltrue([for f in var.port_forwards : f.target_port == null ? true : try(
      f.target_port >= 1 && f.target_port + tonumber(reverse(split("-", f.port))[0]) - tonumber(split("-", f.port)[0]) <= 65535,
    false)])
    error_message = "port_forwards: target_port is from 1 to 65535, and the whole range must fit above it."
  }

  validation {
    condition     = alltrue([for f in var.port_forwards : can(regex("^(i-[0-9a-f]+|name:[^\\x00-\\x1f\\x7f-\\x{9f}\\x{2028}\\x{2029}\\x{feff}\\x{fffe}\\x{ffff}]{1,256})$", f.target)) || try(cidrhost("${f.target}/32", 0) == f.target && can(cidrnetmask("${f.target}/32")), false)])
    error_message = "port_forwards: target is an IPv4 address, an instance ID (i-...), or name:<Name tag> of 1 to 256 characters that print."
  }

  validation {
    condition     = alltrue(flatten([for f in var.port_forwards : [length(f.sources) > 0, [for s in f.sources : try(cidrsubnet(s, 0, 0) == s && can(cidrnetmask(s)), false)]]]))
    error_message = "port_forwards: sources are IPv4 networks in prefix form without host bits, one at least; 0.0.0.0/0 for everybody."
  }

  validation {
    condition = alltrue(flatten([for i, f in var.port_forwards : [for j, g in var.port_forwards : try(
      i >= j || f.protocol != g.protocol
      || tonumber(reverse(split("-", f.port))[0]) < tonumber(split("-", g.port)[0])
      || tonumber(reverse(split("-", g.port))[0]) < tonumber(split("-", f.port)[0]),
    true)]]))
    error_message = "port_forwards: two of one protocol overlap; one port can lead to one target."
  }
}

variable "node_ingress" {
  description = "What may reach the nodes themselves. `protocol`: tcp, udp or icmp. `port`: one, or a range such as \"8000-8010\"; none for icmp. Rules of your own on `sg_id` are heeded as well."
  type = list(object({
    protocol = optional(string, "tcp")
    port     = optional(string)
    sources  = list(string)
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for o in var.node_ingress : contains(["tcp", "udp", "icmp"], o.protocol) && (o.port == null) == (o.protocol == "icmp")])
    error_message = "node_ingress: protocol is tcp or udp with a port, or icmp without one."
  }

  validation {
    condition = alltrue([for o in var.node_ingress : o.port == null ? true : try(
      can(regex("^[0-9]+(-[0-9]+)?$", o.port))
      && tonumber(split("-", o.port)[0]) >= 1
      && tonumber(split("-", o.port)[0]) <= tonumber(reverse(split("-", o.port))[0])
      && tonumber(reverse(split("-", o.port))[0]) <= 65535,
    false)])
    error_message = "node_ingress: port is one from 1 to 65535, or a range such as \"8000-8010\" with the lower one first."
  }

  validation {
    condition     = alltrue(flatten([for o in var.node_ingress : [length(o.sources) > 0, [for s in o.sources : try(cidrsubnet(s, 0, 0) == s && can(cidrnetmask(s)), false)]]]))
    error_message = "node_ingress: sources are IPv4 networks in prefix form without host bits, one at least."
  }
}

variable "allow_transit" {
  description = "Networks inside the VPC, or link-local ones, that clients may reach through the gateway. The node drops what is not meant for the internet."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for block in var.allow_transit : try(cidrsubnet(block, 0, 0) == block && can(cidrnetmask(block)), false)])
    error_message = "allow_transit: write each as an IPv4 network in prefix form without host bits, such as 10.0.0.0/16."
  }
}

variable "idle_timeout" {
  description = "Seconds a TCP connection may be silent. What its client sends later gets a reset."
  type        = number
  default     = 3600
  nullable    = false

  validation {
    condition     = var.idle_timeout >= 1 && var.idle_timeout <= 432000 && floor(var.idle_timeout) == var.idle_timeout
    error_message = "idle_timeout: a whole number of seconds from 1 to 432000."
  }
}

variable "client_connections" {
  description = "Connections that one client may have at a time. null: a quarter of what the node's memory has room for."
  type        = number
  default     = null

  validation {
    condition     = var.client_connections == null ? true : var.client_connections >= 1 && floor(var.client_connections) == var.client_connections
    error_message = "client_connections: a whole number from 1, or null."
  }
}

variable "fast_path" {
  description = "on: established connections bypass the node's rules, in the kernel's flowtable. Less work, hardly tried."
  type        = string
  default     = "off"
  nullable    = false

  validation {
    condition     = contains(["on", "off"], var.fast_path)
    error_message = "fast_path: choose on or off."
  }
}

variable "private_subnet_slots" {
  description = "In a ring, the gateway (a, b, ... in the order of `public_subnets`) of each of `private_subnets_cidr_blocks`. Empty: in turn, as terraform-aws-modules/vpc places subnets."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "private_route_table_slots" {
  description = "In a ring, the gateway of each of `private_route_table_ids`. Empty: in turn."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "session_manager" {
  description = "Give the nodes' role a policy that lets Session Manager in."
  type        = bool
  default     = true
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of the nodes' role."
  type        = string
  default     = null
}

variable "root_volume" {
  description = "The nodes' disk. `size` in GiB (null: the image's own), `kms_key_id` null for the account's default key, `device_name` as the image names it."
  type = object({
    size        = optional(number)
    encrypted   = optional(bool, true)
    kms_key_id  = optional(string)
    device_name = optional(string, "/dev/xvda")
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.root_volume.size == null ? true : try(var.root_volume.size >= 1 && var.root_volume.size <= 16384 && floor(var.root_volume.size) == var.root_volume.size, false)
    error_message = "root_volume: size is a whole number of GiB from 1 to 16384, or null for the image's own."
  }

  validation {
    condition     = var.root_volume.encrypted || var.root_volume.kms_key_id == null
    error_message = "root_volume: a kms_key_id needs encrypted = true."
  }
}

variable "metadata_options" {
  description = "The nodes' metadata service; tokens (IMDSv2) are always required. More than one hop lets containers in."
  type = object({
    hop_limit     = optional(number, 1)
    instance_tags = optional(bool, false)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.metadata_options.hop_limit >= 1 && var.metadata_options.hop_limit <= 64
    error_message = "metadata_options: hop_limit is from 1 to 64."
  }
}

variable "cpu_credits" {
  description = "standard or unlimited, for burstable types. Unlimited ones may bill surplus credits."
  type        = string
  default     = "standard"
  nullable    = false

  validation {
    condition     = contains(["standard", "unlimited"], var.cpu_credits)
    error_message = "cpu_credits: choose standard or unlimited."
  }
}

variable "ready_timeout" {
  description = "How long an apply waits for nodes that have proven NAT. \"0\" does not wait."
  type        = string
  default     = "10m"
  nullable    = false

  validation {
    condition     = can(regex("^(0|[0-9]+(s|m|h))$", var.ready_timeout))
    error_message = "ready_timeout: write it as \"10m\", \"600s\", or \"0\"."
  }
}

variable "egress_check" {
  description = "Places of the internet, ADDRESS:PORT, that nodes connect to every five seconds: one answer means a way out."
  type        = list(string)
  default     = ["1.1.1.1:443", "8.8.8.8:443"]
  nullable    = false

  validation {
    condition     = alltrue([for p in var.egress_check : can(regex("^[0-9.]+:[1-9][0-9]{0,4}$", p)) && can(cidrnetmask("${split(":", p)[0]}/32")) && try(tonumber(split(":", p)[1]) <= 65535, false) && !can(regex("^(127|169[.]254|22[4-9]|23[0-9])[.]", p))])
    error_message = "egress_check: give each place as an IPv4 address and a TCP port, such as 192.0.2.1:443."
  }

  validation {
    condition     = length(var.egress_check) >= 2 && length(var.egress_check) <= 4 && length(distinct([for p in var.egress_check : split(":", p)[0]])) == length(var.egress_check)
    error_message = "egress_check: name two to four hosts, each once. When one of them fails alone, clients are not cut off."
  }
}
