"""The key by which members know each other's messages: an SSM parameter that only nodes of the stack may read."""

from __future__ import annotations

from evernat.stack import names
from evernat.stack.context import Context
from evernat.stack.found import Found
from evernat.stack.names import tag_list
from evernat.stack.steps import Call, Step
from evernat.stack.values import Secret


def steps(context: Context) -> list[Step]:
    """Make it, unless it is there: it is kept through every later deploy, for running nodes have read it already."""
    if context.found.key:
        return []
    name = names.key_parameter(context.gateway.name)
    params = {
        "Name": name,
        "Description": f"evernat gateway {context.gateway.name}: key of its members' messages",
        # With the account's default key: no policy of a key of its own has to be kept in step with the role's.
        "Type": "SecureString",
        "Value": Secret(),
        "Tags": tag_list(context.tags("key")),
    }
    return [
        Step("create", "key", name, (Call("ssm", "put_parameter", params, done=("ParameterAlreadyExists",)),))
    ]


def removal(found: Found) -> list[Step]:
    """Delete it."""
    if not found.key:
        return []
    name = names.key_parameter(found.stack)
    return [
        Step(
            "delete",
            "key",
            name,
            (Call("ssm", "delete_parameter", {"Name": name}, done=("ParameterNotFound",)),),
        )
    ]
