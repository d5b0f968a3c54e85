output "nat_public_ip" {
  description = "The address that the internet sees."
  value       = aws_eip.nat.public_ip
}
