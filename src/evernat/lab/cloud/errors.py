"""Errors as AWS gives them: a code programs react to, a sentence for people, an HTTP status."""

from __future__ import annotations


class AwsError(Exception):
    """An API call was refused. `code` is AWS's error code, `status` the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class ConnectionCut(Exception):  # noqa: N818 - an event on the wire, not an error of the lab
    """A fault asks for the connection to be closed without an answer."""


def missing(parameter: str) -> AwsError:
    """A required parameter was not given."""
    return AwsError("MissingParameter", f"The request must contain the parameter {parameter}")


def invalid(parameter: str, value: object) -> AwsError:
    """A parameter has a value nobody accepts."""
    return AwsError("InvalidParameterValue", f"Value ({value}) for parameter {parameter} is invalid.")


def dependency(message: str) -> AwsError:
    """Something still uses what should be deleted."""
    return AwsError("DependencyViolation", message)


def not_found(code: str, kind: str, identifier: str) -> AwsError:
    """EC2's way to say that an id is unknown, for instance `InvalidVpcID.NotFound`."""
    return AwsError(code, f"The {kind} ID '{identifier}' does not exist")
