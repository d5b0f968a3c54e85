"""The way to AWS: one wrapper around boto3 that retries what is safe to retry and turns failures into our errors.

boto3's own retries are off. They would repeat a call whose answer was lost, and AllocateAddress has no client token:
a repeated one leaves a second address behind. So: reads are retried whatever happened; a call that changes something
only when it surely was not carried out (throttled, connection refused); otherwise it raises OutcomeUnknown.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import boto3
from botocore import exceptions as boto
from botocore.config import Config

from evernat.stack.errors import AccessError, ApiError, OutcomeUnknown, StackError

T = TypeVar("T")

ATTEMPTS = 5
READS = ("describe_", "get_", "list_")

THROTTLED = frozenset(
    [
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
        "RequestLimitExceeded", "TooManyRequestsException", "EC2ThrottledException", "SlowDown",
        "BandwidthLimitExceeded", "PriorRequestNotComplete", "ConcurrentModification", "ResourceContention",
        "ResourceContentionFault",
    ]
)  # fmt: skip
"""AWS refused before doing anything. (botocore's list of throttling codes, and IAM's and Auto Scaling's 'busy'.)"""

EXPIRED = frozenset(
    [
        "ExpiredToken", "ExpiredTokenException", "RequestExpired", "AuthFailure", "InvalidClientTokenId",
        "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId", "MissingAuthenticationToken",
    ]
)  # fmt: skip
DENIED = frozenset(
    ["UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "OptInRequired", "UnauthorizedAccess"]
)

QUOTAS = {
    "AddressLimitExceeded": "release an Elastic IP, or raise the quota L-0263D0A3 (EC2-VPC Elastic IPs)",
    "RulesPerSecurityGroupLimitExceeded": "use fewer CIDR blocks or sources, or raise the quota L-0EA8095F",
    "SecurityGroupLimitExceeded": "delete unused security groups of the region, or raise the quota L-E79EC296",
    "NetworkInterfaceLimitExceeded": "delete unused network interfaces, or raise the quota L-DF5E4CA3",
    "LimitExceeded": "delete what is not needed, or raise the quota in Service Quotas",
    "LimitExceededFault": "delete what is not needed, or raise the quota in Service Quotas",
    "MaxSpotInstanceCountExceeded": "raise the spot quota, or set use_spot_instance = false",
    "VcpuLimitExceeded": "raise the quota of running on-demand vCPUs",
}

CREDENTIALS_REMEDY = "log in again (for instance  aws sso login), or choose other credentials with --profile"


class Clock(Protocol):
    """Time, passed in so that tests need not wait."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The real time."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Api:
    """AWS in one region. `calls` lists every attempt as (service, operation)."""

    def __init__(self, session: boto3.Session | None = None, *, clock: Clock | None = None) -> None:
        self.session = session or boto3.Session()
        self.clock = clock or SystemClock()
        self.calls: list[tuple[str, str]] = []
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, region: str | None = None, profile: str | None = None) -> Api:
        """AWS as the environment and the profile say, in `region` if that is given."""
        return cls(session_for(region, profile))

    @property
    def region(self) -> str:
        """The region all calls go to."""
        region: str | None = self.session.region_name
        if not region:
            raise StackError(
                "no AWS region is set", "set region in the file, use --region, or export AWS_REGION"
            )
        return region

    def client(self, service: str) -> Any:
        """The boto3 client of a service."""
        with self._lock:
            if service not in self._clients:
                config = Config(
                    retries={"total_max_attempts": 1, "mode": "standard"},
                    connect_timeout=5,
                    read_timeout=30,
                    user_agent_extra="evernat",
                )
                with translated(service):
                    self._clients[service] = self.session.client(
                        service, region_name=self.region, config=config
                    )  # type: ignore[call-overload]
            return self._clients[service]

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """One call, retried where that is safe. Raises ApiError and its kin."""
        client = self.client(service)
        method, name = getattr(client, operation), f"{service}:{client.meta.method_to_api_mapping[operation]}"
        for attempt in range(1, ATTEMPTS + 1):
            self.calls.append((service, operation))
            try:
                with translated(name):
                    answer: dict[str, Any] = method(**params)
                    return answer
            except ApiError as error:
                if attempt == ATTEMPTS or not _may_repeat(operation, error):
                    raise
            self.clock.sleep(random.uniform(0.5, 1.0) * 0.4 * 2**attempt)  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    def pages(
        self, service: str, operation: str, key: str, *, most: int | None = None, **params: Any
    ) -> list[Any]:
        """The items of a paged listing; `key` names the list in the answer. `most`: how many pages, None for all."""
        token_in, token_out = ("Marker", "Marker") if service == "iam" else ("NextToken", "NextToken")
        items: list[Any] = []
        extra: dict[str, Any] = {}
        asked = 0
        while True:
            answer = self.call(service, operation, **params, **extra)
            items += answer.get(key) or []
            asked += 1
            token = answer.get(token_out)
            if not token or asked == most or (service == "iam" and not answer.get("IsTruncated")):
                return items
            extra = {token_in: token}

    def gather(self, **queries: Callable[[], Any]) -> dict[str, Any]:
        """Run independent queries side by side; the first failure is raised."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            futures = {name: pool.submit(query) for name, query in queries.items()}
            return {name: future.result() for name, future in futures.items()}


class NowhereError(ApiError):
    """No connection to AWS came about, so nothing was done."""


class translated:  # noqa: N801 - reads as a word in `with`
    """Context in which botocore's exceptions become ours."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, boto.ClientError):
            raise self._refused(error) from None
        if isinstance(error, boto.BotoCoreError):
            raise self._failed(error) from None

    def _refused(self, error: boto.ClientError) -> ApiError:
        code = str(error.response.get("Error", {}).get("Code", "Unknown"))
        message = str(error.response.get("Error", {}).get("Message", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        if code in EXPIRED:
            return AccessError(self.operation, code, message, CREDENTIALS_REMEDY)
        if code in DENIED:
            return AccessError(
                self.operation, code, message, f"allow {self.operation} for these credentials, then run again"
            )
        if status >= 500 and code not in THROTTLED:
            return OutcomeUnknown(self.operation, code, message, "run again: it continues where it stopped")
        return ApiError(
            self.operation,
            code,
            message,
            QUOTAS.get(code, "run again once the cause is removed; it continues"),
        )

    def _failed(self, error: boto.BotoCoreError) -> StackError:
        name, text = type(error).__name__, str(error)
        if isinstance(
            error, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
        ):
            return AccessError(self.operation, name, text, CREDENTIALS_REMEDY)
        if isinstance(error, (boto.SSOError, boto.UnauthorizedSSOTokenError, boto.TokenRetrievalError)):
            return AccessError(self.operation, name, text, CREDENTIALS_REMEDY)
        if isinstance(error, (boto.NoRegionError, boto.InvalidRegionError)):
            return StackError(text, "set region in the file, use --region, or export AWS_REGION")
        if isinstance(
            error, (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError)
        ):
            return NowhereError(
                self.operation, name, text, "check the region's name, the network and AWS_ENDPOINT_URL"
            )
        if isinstance(error, (boto.HTTPClientError, boto.ConnectionError)) or "ParserError" in name:
            return OutcomeUnknown(self.operation, name, text, "run again: it continues where it stopped")
        return StackError(
            f"{self.operation} failed: {text}",
            "this is a mistake in evernat or its installation: please report it",
        )


def _may_repeat(operation: str, error: ApiError) -> bool:
    if error.code in THROTTLED or isinstance(error, NowhereError):
        return True
    return isinstance(error, OutcomeUnknown) and operation.startswith(READS)


def session_for(region: str | None = None, profile: str | None = None) -> boto3.Session:
    """A boto3 session; the environment and the profile fill in what is None."""
    with translated("credentials"):
        return boto3.Session(region_name=region or None, profile_name=profile or None)
