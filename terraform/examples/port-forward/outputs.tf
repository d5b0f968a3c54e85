output "nat_public_ip" {
  description = "Ports 80 (by the script) and 8080 (by the module) of this address lead to the instance named example-web."
  value       = aws_eip.nat.public_ip
}
