output "gateways" {
  description = "The gateways with all that is known of them."
  value       = module.nat.gateways
}

output "autoscaling_group_names" {
  description = "For dashboards and alarms."
  value       = module.nat.autoscaling_group_names
}
