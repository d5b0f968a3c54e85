# Launch templates and Auto Scaling groups: one of each for each place where a node lives.

resource "aws_launch_template" "this" {
  for_each = local.places

  name_prefix = local.by_address ? "${var.name}-${each.key}-" : var.name
  description = "evernat ${local.manifest.version}"
  # A parameter's name instead of today's image: every new node boots the newest one.
  image_id      = var.image_id != "" ? var.image_id : "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${local.graviton ? "arm64" : "x86_64"}"
  instance_type = var.instance_types[0]
  key_name      = var.key_name != "" ? var.key_name : null
  user_data     = base64gzip(local.user_data.real[each.key])
  tags          = merge(local.tags, { "evernat:part" = "launch-template" }, local.by_address ? { "evernat:slot" = each.key } : {})

  iam_instance_profile {
    name = aws_iam_instance_profile.this.name
  }

  network_interfaces {
    device_index = 0
    # The node's own way to the API.
    associate_public_ip_address = true
    delete_on_termination       = true
    security_groups             = [aws_security_group.this.id]
    # Places for gateways, beside the node's own address and in a ring for the neighbour's.
    ipv4_address_count = each.value.addresses > 1 ? each.value.addresses - 1 : null
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = var.metadata_options.hop_limit
    instance_metadata_tags      = var.metadata_options.instance_tags ? "enabled" : null
  }

  block_device_mappings {
    device_name = var.root_volume.device_name

    ebs {
      volume_type           = "gp3"
      volume_size           = var.root_volume.size
      encrypted             = var.root_volume.encrypted
      kms_key_id            = var.root_volume.kms_key_id
      delete_on_termination = true
    }
  }

  dynamic "credit_specification" {
    # Spot instances of the T family start as unlimited, which can bill surplus credits.
    for_each = local.burstable ? [var.cpu_credits] : []

    content {
      cpu_credits = credit_specification.value
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "network-interface", "volume"]

    content {
      resource_type = tag_specifications.value
      tags          = merge(local.tags, { "evernat:part" = "node" }, local.by_address ? { "evernat:slot" = each.key } : {})
    }
  }

  lifecycle {
    precondition {
      condition     = local.user_data_size <= 16384
      error_message = "The user data has ${local.user_data_size} bytes, 16384 are allowed: shorten user_data_write_files and user_data_runcmd, or fetch what is large while booting."
    }
  }
}

resource "aws_autoscaling_group" "this" {
  for_each = local.places

  # Not a prefix: the nodes are told the name, in the template that the group refers to.
  name                      = local.group_names[each.key]
  min_size                  = var.enabled ? 1 : 0
  max_size                  = local.by_address ? 2 : 1
  desired_capacity          = var.enabled ? 1 : 0
  vpc_zone_identifier       = [each.value.subnet]
  health_check_type         = "EC2"
  health_check_grace_period = 0
  capacity_rebalance        = local.by_address
  wait_for_capacity_timeout = var.ready_timeout

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = 0
      on_demand_percentage_above_base_capacity = var.use_spot_instance ? 0 : 100
      spot_allocation_strategy                 = "price-capacity-optimized"
    }

    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.this[each.key].id
        # A number, so that a change of the template changes the group and has the nodes replaced.
        version = aws_launch_template.this[each.key].latest_version
      }

      dynamic "override" {
        for_each = var.instance_types

        content {
          instance_type = override.value
        }
      }
    }
  }

  # A node has five minutes to prove that NAT works; then the group throws it away and tries another.
  initial_lifecycle_hook {
    name                 = local.hook
    lifecycle_transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
    heartbeat_timeout    = 300
    default_result       = "ABANDON"
  }

  dynamic "instance_maintenance_policy" {
    for_each = local.by_address ? [1] : []

    content {
      min_healthy_percentage = 100
      max_healthy_percentage = 200
    }
  }

  instance_refresh {
    strategy = "Rolling"

    preferences {
      # A persistent interface can be on one node only, so nothing is gained by launching the new one first.
      min_healthy_percentage = local.by_address ? 100 : 0
      max_healthy_percentage = local.by_address ? 200 : 100
      # Groups are changed side by side; this lets their old nodes go one after the other.
      instance_warmup = each.value.position * 300
    }
  }

  dynamic "tag" {
    for_each = merge(local.tags, { "evernat:part" = "group" }, local.by_address ? { "evernat:slot" = each.key } : {})

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = false
    }
  }

  # What a node needs to work and to be told so.
  depends_on = [
    aws_eip_association.this,
    aws_iam_role_policy.agent,
    aws_iam_role_policy.session_manager,
    aws_iam_role_policy_attachment.ssm,
    aws_route.led,
    aws_security_group_rule.egress,
    aws_security_group_rule.ingress_any,
    aws_security_group_rule.members,
    aws_ssm_parameter.agent,
    aws_ssm_parameter.key,
    aws_ssm_parameter.report,
  ]
}
