"""What cloud-init does with user data, as far as the lab goes: fetch, take apart, write files, run commands."""
