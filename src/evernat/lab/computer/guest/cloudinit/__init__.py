"""What cloud-init does with user data, as far as stacks of the lab use it: fetch, take apart, write files, run commands."""
