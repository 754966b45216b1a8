"""Drives the twin's ARM with Microsoft's own client, unmodified, and its own way of polling.

Reads where the twin is from the file that the first argument names, and writes one JSON object a
line: what was done, and what the client made of the answer.
"""

import json
import sys
import time

import requests
from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import HttpResponseError
from azure.mgmt.sql import SqlManagementClient
from azure.mgmt.sql import models


class Secret:
    """A client secret at the twin's token service."""

    def __init__(self, arm, ca):
        self.arm, self.ca = arm, ca

    def get_token_info(self, *scopes, options=None):
        answer = requests.post(
            f"{self.arm['authority']}/{self.arm['tenant']}/oauth2/v2.0/token",
            data={
                "client_id": self.arm["client_id"],
                "client_secret": self.arm["client_secret"],
                "grant_type": "client_credentials",
                "scope": "https://management.azure.com/.default",
            },
            verify=self.ca,
            timeout=30,
        )
        answer.raise_for_status()
        body = answer.json()
        return AccessTokenInfo(body["access_token"], int(time.time()) + body["expires_in"])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        twin = json.load(file)
    arm, ca = twin["arm"], twin["ca"]
    client = SqlManagementClient(
        Secret(arm, ca),
        arm["subscription"],
        base_url=arm["base_url"],
        credential_scopes=[arm["base_url"] + "/.default"],
        connection_verify=ca,
    )
    groups = client.distributed_availability_groups
    where = (arm["resource_group"], arm["instance"], arm["link"])

    def tell(step, link=None, **more):
        if link is not None:
            found = link.properties if hasattr(link, "properties") else link
            more["role"] = found.instance_link_role
            more["failover_mode"] = found.failover_mode
            more["replication_mode"] = found.replication_mode
            more["databases"] = [
                [db.database_name, db.replica_state, db.connected_state]
                for db in found.databases or []
            ]
        print(json.dumps({"step": step, **more}), flush=True)

    def refused(step, call):
        try:
            call()
        except HttpResponseError as error:
            code = error.error.code if error.error else None
            return tell(step, status=error.status_code, code=code)
        return tell(step, status=None)

    def change(path, body):
        url = twin["control"]["base_url"] + path
        requests.post(url, json=body, timeout=30).raise_for_status()

    def settled(role, connected="CONNECTED"):
        for _ in range(300):
            link = groups.get(*where)
            found = link.properties if hasattr(link, "properties") else link
            database = found.databases[0]
            if (found.instance_link_role, database.connected_state) == (role, connected):
                return link
            time.sleep(0.1)
        raise SystemExit(f"the link is not {role} and {connected}")

    def fail_over(kind):
        body = models.DistributedAvailabilityGroupsFailoverRequest(failover_type=kind)
        return groups.begin_failover(*where, body).result()

    tell("list", names=[link.name for link in groups.list_by_instance(*where[:2])])
    tell("show", groups.get(*where))

    update = {"properties": {"replicationMode": "Sync"}}
    tell("update", groups.begin_update(*where, update).result())

    refused("planned on the wrong side", lambda: fail_over("Planned"))

    # The other side is dead; the instance takes over.
    change("/fault", {"fault": "stop", "instance": "sql01"})
    tell("forced", fail_over("ForcedAllowDataLoss"))
    tell("after forced", settled("Primary", "DISCONNECTED"))

    # It comes back, says primary too, and is made secondary by hand.
    change("/fault", {"fault": "start", "instance": "sql01"})
    tell("started")
    sys.stdin.readline()

    tell("mended", settled("Primary"))
    change("/fault", {"fault": "arm-throttle", "times": 1, "retry_after_s": 1})
    tell("planned", fail_over("Planned"))
    tell("after planned", settled("Secondary"))

    change("/fault", {"fault": "stop", "instance": "sql01"})
    order = {"instanceRole": "Primary", "roleChangeType": "Forced"}
    tell("set role", groups.begin_set_role(*where, order).result())

    tell("delete", result=groups.begin_delete(*where).result())
    refused("show after that", lambda: groups.get(*where))
    refused("delete again", lambda: groups.begin_delete(*where).result())
    tell("list after that", names=[link.name for link in groups.list_by_instance(*where[:2])])


main()
