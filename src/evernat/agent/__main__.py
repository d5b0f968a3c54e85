"""`run` and `cluster` are the daemons (of an interface, of addresses), `status [--json]` prints what they know."""

import sys

verb = sys.argv[1] if len(sys.argv) > 1 else "status"
if verb in ("run", "cluster"):
    from .beside import main
elif verb == "status":
    from .status import main
else:
    sys.exit(f"evernat-agent: no such verb: {verb}. Say: evernat-agent status [--json]")

sys.exit(main(sys.argv[2:]))
