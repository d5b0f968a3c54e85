"""From `evernat.toml` to a call of the Terraform module, and back."""
