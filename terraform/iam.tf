# The nodes' role: Session Manager, and exactly what the agent calls (the same documents as in src/evernat/bundle).

locals {
  ec2       = "arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}"
  scaling   = "arn:${data.aws_partition.current.partition}:autoscaling:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:autoScalingGroup:*:autoScalingGroupName"
  parameter = "arn:${data.aws_partition.current.partition}:ssm:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:parameter"
  in_region = { StringEquals = { "aws:RequestedRegion" = data.aws_region.current.id } }
  of_stack  = { StringEquals = { "aws:ResourceTag/evernat:stack" = local.stack } }
  members   = ["${local.ec2}:network-interface/*", "${local.ec2}:instance/*"]

  eni_statements = [
    {
      Sid       = "Look"
      Effect    = "Allow"
      Action    = ["ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroupRules"]
      Resource  = "*"
      Condition = local.in_region
    },
    {
      Sid       = "MoveInterface"
      Effect    = "Allow"
      Action    = ["ec2:AttachNetworkInterface", "ec2:DetachNetworkInterface"]
      Resource  = ["${local.ec2}:network-interface/${aws_network_interface.this.id}", "${local.ec2}:instance/*"]
      Condition = local.of_stack
    },
    {
      Sid       = "CheckOff"
      Effect    = "Allow"
      Action    = ["ec2:ModifyNetworkInterfaceAttribute"]
      Resource  = ["${local.ec2}:network-interface/${aws_network_interface.this.id}"]
      Condition = local.of_stack
    },
    {
      Sid      = "ReadParameters"
      Effect   = "Allow"
      Action   = ["ssm:GetParameters"]
      Resource = ["${local.parameter}${local.agent_folder}/*", "${local.parameter}${local.report_folder}/replacement"]
    },
    {
      Sid      = "Report"
      Effect   = "Allow"
      Action   = ["ssm:PutParameter"]
      Resource = ["${local.parameter}${local.report_folder}/*"]
    },
    {
      Sid       = "AnswerLaunchHook"
      Effect    = "Allow"
      Action    = ["autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth"]
      Resource  = [for name in values(local.group_names) : "${local.scaling}/${name}"]
      Condition = local.of_stack
    },
  ]

  address_arns = [for id in values(local.addresses) : "${local.ec2}:elastic-ip/${id == null ? "none" : id}"]

  address_statements = concat(
    [
      {
        Sid       = "Look"
        Effect    = "Allow"
        Action    = [for what in ["Addresses", "Instances", "NetworkInterfaces", "RouteTables", "SecurityGroupRules"] : "ec2:Describe${what}"]
        Resource  = "*"
        Condition = local.in_region
      },
      {
        # Checked against the address, and against the interface (and instance) it is on.
        Sid       = "MoveAddress"
        Effect    = "Allow"
        Action    = ["ec2:AssociateAddress", "ec2:DisassociateAddress"]
        Resource  = concat(local.own_address ? [] : local.address_arns, local.members)
        Condition = local.of_stack
      },
      {
        Sid       = "CheckOff"
        Effect    = "Allow"
        Action    = ["ec2:ModifyNetworkInterfaceAttribute"]
        Resource  = local.members
        Condition = local.of_stack
      },
      {
        Sid      = "ReadParameters"
        Effect   = "Allow"
        Action   = ["ssm:GetParameters"]
        Resource = ["${local.parameter}${local.key_parameter}", "${local.parameter}${local.agent_folder}/*", "${local.parameter}${local.report_folder}/replacement"]
      },
      {
        Sid      = "Report"
        Effect   = "Allow"
        Action   = ["ssm:PutParameter"]
        Resource = ["${local.parameter}${local.report_folder}/*"]
      },
      {
        Sid       = "AnswerLaunchHook"
        Effect    = "Allow"
        Action    = ["autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth"]
        Resource  = [for slot in local.slots : "${local.scaling}/${local.group_names[slot]}"]
        Condition = local.of_stack
      },
    ],
    # Your own addresses and the route tables are named one by one, but carry no tag of ours: Terraform would take it
    # away again wherever it manages them.
    local.own_address ? [{
      Sid      = "MoveOwnAddress"
      Effect   = "Allow"
      Action   = ["ec2:AssociateAddress", "ec2:DisassociateAddress"]
      Resource = local.address_arns
    }] : [],
    length(var.private_route_table_ids) > 0 ? [{
      Sid      = "LeadRoutes"
      Effect   = "Allow"
      Action   = ["ec2:CreateRoute", "ec2:ReplaceRoute"]
      Resource = [for table in flatten(values(local.gateways)[*].tables) : "${local.ec2}:route-table/${table}"]
    }] : [],
  )
}

resource "aws_iam_role" "this" {
  name_prefix          = var.name
  description          = "evernat gateway ${var.name}"
  permissions_boundary = var.permissions_boundary
  tags                 = merge(local.tags, { "evernat:part" = "role" })

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = data.aws_partition.current.partition == "aws-cn" ? "ec2.amazonaws.com.cn" : "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "agent" {
  name = "evernat-agent"
  role = aws_iam_role.this.name

  policy = local.by_address ? jsonencode({
    Version   = "2012-10-17"
    Statement = local.address_statements
    }) : jsonencode({
    Version   = "2012-10-17"
    Statement = local.eni_statements
  })
}

# All that Session Manager needs. AmazonSSMManagedInstanceCore also lets a node read every parameter of the account.
resource "aws_iam_role_policy" "session_manager" {
  count = var.session_manager && var.ssm_policy_arn == "" ? 1 : 0

  name = "evernat-session-manager"
  role = aws_iam_role.this.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "SessionManager"
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = "*"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "ssm" {
  count = var.session_manager && var.ssm_policy_arn != "" ? 1 : 0

  policy_arn = var.ssm_policy_arn
  role       = aws_iam_role.this.name
}

resource "aws_iam_instance_profile" "this" {
  name_prefix = var.name
  role        = aws_iam_role.this.name
  tags        = merge(local.tags, { "evernat:part" = "instance-profile" })
}
