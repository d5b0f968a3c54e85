"""What the stack's tests share: a cloud whose time they turn, an agent played by API calls, an inventory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import boto3
import waitress
from botocore.exceptions import BotoCoreError, ClientError

from evernat.bundle import parameters
from evernat.lab.cloud import Cloud, Front, Network, build_network
from evernat.lab.profile import NONE
from evernat.stack import library, names
from evernat.stack.api import Api
from evernat.stack.load import gateway_from
from evernat.stack.spec import Gateway
from evernat.stack.steps import Plan
from tests.lab_cloud.support import parameter_names
from tests.stack.telling import Teller, failed_boot, write

REGION = "us-west-2"
CODE = len(parameters("main", "eni"))
"""SSM parameters of a single: the agent's files beside the user data."""
CLIENTS = ("ec2", "iam", "autoscaling", "ssm", "sts")


class LabClock:
    """Time that passes only when somebody sleeps; the cloud and the agent get on with their work meanwhile."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.work: list[Callable[[], None]] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        for work in list(self.work):
            work()


class World:
    """One cloud with the article's network, for one test."""

    def __init__(self, server: Server) -> None:
        self.clock = LabClock()
        self.cloud = Cloud(NONE, clock=self.clock.now, sleep=lambda _seconds: None)
        self.server = server
        server.cloud = self.cloud
        self.network: Network = build_network(server.client)
        self.settle()
        self.agent_works = True
        self.gives_up = ""
        """Why nodes that boot give their launch hook back; empty: they do not."""
        self.tellers: dict[str, Teller] = {}
        self.holders: dict[str, str] = {}
        self.clock.work += [self.turn]
        self.before = self.inventory()

    def api(self, region: str = REGION) -> Api:
        """The way in for the code under test; clients are shared, making them is slow."""
        api = Api(boto3.Session(region_name=region), clock=self.clock)
        if region == REGION:
            api._clients = self.server.clients(api)
        return api

    def client(self, service: str) -> Any:
        """A plain boto3 client."""
        return self.server.client(service)

    def turn(self) -> None:
        """One turn of the world: the cloud's background, then the agent."""
        self.cloud.tick()
        if self.agent_works:
            # A call that fails is tried again in the next turn, as the real agent would.
            with suppress(ClientError, BotoCoreError):
                self.agent()
            with suppress(ClientError, BotoCoreError):
                self.tell()

    def settle(self) -> None:
        """Let everything happen that happens by itself."""
        for _ in range(6):
            self.clock.sleep(1.0)

    def agent(self) -> None:
        """What the node's agent does, seen from the API: take the free interface, then complete the launch hook."""
        members = [m for g in self.cloud.region(REGION).groups.values() for m in g.members.values()]
        if not any(m.state == "Pending:Wait" for m in members):
            return
        waiting = [
            (group["AutoScalingGroupName"], member["InstanceId"])
            for group in self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
            for member in group["Instances"]
            if member["LifecycleState"] == "Pending:Wait"
        ]
        for group, instance in waiting:
            if self.gives_up:
                failed = failed_boot(instance, self.gives_up)
                write(self.client, group.removeprefix("evernat-"), "node", failed)
                self._answer(group, instance, "ABANDON")
            elif self._attached(group.removeprefix("evernat-"), instance):
                self._answer(group, instance, "CONTINUE")

    def _attached(self, stack: str, instance: str) -> bool:
        """Whether the stack's free interface could be attached to a running instance."""
        ec2 = self.client("ec2")
        mine = [
            {"Name": f"tag:{names.STACK_TAG}", "Values": [stack]},
            {"Name": "tag:evernat:part", "Values": ["interface"]},
            {"Name": "status", "Values": ["available"]},
        ]
        running = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        free = ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
        here = [i["NetworkInterfaceId"] for i in free if i["SubnetId"] == running["SubnetId"]]
        if running["State"]["Name"] != "running" or not here:
            return False
        ec2.attach_network_interface(NetworkInterfaceId=here[0], InstanceId=instance, DeviceIndex=1)
        self.holders[stack] = instance
        return True

    def _answer(self, group: str, instance: str, result: str) -> None:
        self.client("autoscaling").complete_lifecycle_action(
            AutoScalingGroupName=group,
            LifecycleHookName=names.HOOK,
            InstanceId=instance,
            LifecycleActionResult=result,
        )

    def tell(self) -> None:
        """Have the holders of interfaces report."""
        machines = self.cloud.region(REGION).machines
        for stack, holder in self.holders.items():
            if holder in machines and machines[holder].alive:
                self.teller(stack).say(stack, holder)

    def teller(self, stack: str = "main") -> Teller:
        """Who speaks for the nodes of a stack."""
        return self.tellers.setdefault(stack, Teller(self.client, stack))

    def gateway(self, **fields: Any) -> Gateway:
        """The article's gateway in this network."""
        return self.gateway_of({**self.table(), **fields})

    def gateway_of(self, table: dict[str, Any]) -> Gateway:
        """The gateway that a whole table describes."""
        return gateway_from(table)

    def table(self) -> dict[str, Any]:
        """The same as it stands in a file."""
        return {
            "name": "main",
            "region": REGION,
            "vpc_id": self.network.vpc_id,
            "public_subnet": self.network.public_subnet_ids[0],
            "private_subnets_cidr_blocks": list(self.network.private_cidrs),
            "private_route_table_ids": list(self.network.private_route_table_ids),
        }

    def deploy(self, gateway: Gateway, **options: Any) -> Plan:
        """Plan and deploy as the command does; returns the plan."""
        api = self.api()
        replace = options.pop("replace_routes", False)
        plan = library.plan(gateway, api, replace_routes=replace)
        library.deploy(gateway, plan, api, replace_routes=replace, **options)
        return plan

    def destroy(self, stack: str = "main", *, leave_routes: bool = False) -> None:
        """Plan and destroy as the command does."""
        api = self.api()
        plan = library.plan_removal(stack, api, leave_routes=leave_routes)
        library.destroy(plan, api, leave_routes=leave_routes)

    def mutations(self) -> list[str]:
        """Calls so far that were not mere looking."""
        return [c.name for c in self.cloud.calls if not c.action.startswith(("Describe", "Get", "List"))]

    def inventory(self) -> dict[str, Any]:
        """Everything the account has, by the API's own listings; whatever is left over shows here, tagged or not."""
        ec2, iam, scaling = self.client("ec2"), self.client("iam"), self.client("autoscaling")
        instances = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
        return {
            "instances": sorted(i["InstanceId"] for i in instances if i["State"]["Name"] != "terminated"),
            "interfaces": sorted(
                i["NetworkInterfaceId"] for i in ec2.describe_network_interfaces()["NetworkInterfaces"]
            ),
            "addresses": sorted(a["AllocationId"] for a in ec2.describe_addresses()["Addresses"]),
            "security groups": {
                g["GroupId"]: (_plain(g["IpPermissions"]), _plain(g["IpPermissionsEgress"]))
                for g in ec2.describe_security_groups()["SecurityGroups"]
            },
            "templates": sorted(
                t["LaunchTemplateId"] for t in ec2.describe_launch_templates()["LaunchTemplates"]
            ),
            "groups": sorted(
                g["AutoScalingGroupName"] for g in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
            ),
            "parameters": sorted(parameter_names(self.client("ssm"))),
            "roles": sorted(r["RoleName"] for r in iam.list_roles()["Roles"]),
            "profiles": sorted(
                p["InstanceProfileName"] for p in iam.list_instance_profiles()["InstanceProfiles"]
            ),
            "routes": {
                t["RouteTableId"]: (_plain(t["Routes"]), _plain(t["Tags"]))
                for t in ec2.describe_route_tables()["RouteTables"]
            },
        }

    def made(self) -> dict[str, list[str]]:
        """What is there now and was not there before."""
        now = self.inventory()
        lists = {kind: list(now[kind]) for kind in now if kind != "routes"}
        return {
            kind: [thing for thing in things if thing not in self.before[kind]]
            for kind, things in lists.items()
        }

    def complete(self) -> None:
        """Assert that the account has exactly one whole stack more than before, each thing once."""
        counts = {kind: len(things) for kind, things in self.made().items()}
        # Two interfaces: the persistent one and the node's own. One parameter is the node's report.
        assert counts == {
            "instances": 1, "interfaces": 2, "addresses": 1, "security groups": 1, "templates": 1, "groups": 1,
            "parameters": CODE + 1, "roles": 1, "profiles": 1,
        }  # fmt: skip
        assert self.routes() == {
            table: self.interface()["NetworkInterfaceId"] for table in self.network.private_route_table_ids
        }
        assert self.interface()["Attachment"]["InstanceId"] == self.made()["instances"][0]
        assert self.interface()["Association"]["AllocationId"] == self.made()["addresses"][0]

    def gone(self) -> None:
        """Assert that the account is as it was."""
        self.settle()
        assert self.inventory() == self.before

    def interface(self, stack: str = "main") -> dict[str, Any]:
        """The stack's one persistent interface."""
        filters = [
            {"Name": f"tag:{names.STACK_TAG}", "Values": [stack]},
            {"Name": f"tag:{names.PART_TAG}", "Values": ["interface"]},
        ]
        (interface,) = self.client("ec2").describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return dict(interface)

    def routes(self) -> dict[str, str]:
        """Where each private table's default route leads."""
        tables = self.client("ec2").describe_route_tables(
            RouteTableIds=list(self.network.private_route_table_ids)
        )["RouteTables"]
        return {
            t["RouteTableId"]: r.get("NetworkInterfaceId")
            or r.get("NatGatewayId")
            or r.get("GatewayId")
            or ""
            for t in tables
            for r in t["Routes"]
            if r["DestinationCidrBlock"] == "0.0.0.0/0"
        }


def nat_gateway(world: World) -> str:
    """A managed NAT gateway, to which all private tables lead."""
    ec2 = world.client("ec2")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=world.network.public_subnet_ids[0], AllocationId=address)
    identifier = str(made["NatGateway"]["NatGatewayId"])
    world.settle()
    for table in world.network.private_route_table_ids:
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=identifier)
    world.before = world.inventory()
    return identifier


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


class Server:
    """Serves whichever cloud is current on loopback, and keeps clients, which are slow to make."""

    def __init__(self) -> None:
        self.cloud: Cloud | None = None
        self.after: Callable[[dict[str, Any]], None] = lambda _environ: None
        self._server = waitress.create_server(self._app, host="127.0.0.1", port=0, threads=8)
        self._clients: dict[str, Any] = {}
        self._ours: dict[str, Any] = {}
        self.url = f"http://127.0.0.1:{self._server.effective_port}"
        threading.Thread(target=self._server.run, daemon=True).start()

    def _app(self, environ: dict[str, Any], start_response: Any) -> Any:
        assert self.cloud is not None
        answer = Front(self.cloud)(environ, start_response)
        self.after(environ)
        return answer

    def client(self, service: str) -> Any:
        """A plain boto3 client."""
        if service not in self._clients:
            self._clients[service] = boto3.client(service, region_name=REGION)  # type: ignore[call-overload]
        return self._clients[service]

    def clients(self, api: Api) -> dict[str, Any]:
        """The clients that `Api` would make."""
        if not self._ours:
            for service in CLIENTS:
                api.client(service)
            self._ours = api._clients
        return self._ours

    def close(self) -> None:
        """Stop serving."""
        self._server.close()


@contextmanager
def serving(monkeypatch: Any) -> Iterator[Server]:
    """A server, with the environment pointing boto3 at it."""
    server = Server()
    settings = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "AKIALABLABLABLABLABL",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    try:
        yield server
    finally:
        server.close()
