"""All AWS resources of one evernat deployment, found again by their tags, never by a local state file.

`spec` is what the user wrote, `discover` and `environment` what is there, `checks` refuse bad input, `plan` (pure, with
one file per part in `parts`) turns both into steps, `apply` carries them out, `wait` waits, `status` tells.
"""
