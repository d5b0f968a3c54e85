output "nat_public_ips" {
  description = "The addresses that the internet sees, by zone of the client: a, b, c in the order of public_subnets."
  value       = { for slot, gateway in module.nat.gateways : slot => gateway.public_ip }
}
