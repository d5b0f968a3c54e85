"""`run` and `cluster` start the daemon that the settings' identity asks for, `status [--json]` prints what it knows."""

import sys

verb = sys.argv[1] if len(sys.argv) > 1 else "status"
if verb in ("run", "cluster"):
    from .beside import main
elif verb == "status":
    from .status import main
else:
    sys.exit(f"evernat-agent: no such verb: {verb}. Say: evernat-agent status [--json]")

sys.exit(main(sys.argv[2:]))
