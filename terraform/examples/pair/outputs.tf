output "nat_public_ip" {
  description = "The address that the internet sees, whichever node is in charge."
  value       = module.nat.public_ips[0]
}
