//! Azure: the token, the place of the instance, its state, the role of the agent.

use twin::world::setup::{Change, LinkChange};

use super::{
    super::rig::MI,
    bench::{Bench, Case, Mend},
};

const ARM: &str = "Azure Resource Manager for mi-dr";
const FAILOVER: &str =
    "Microsoft.Sql/managedInstances/distributedAvailabilityGroups/failover/action";
const DELETE: &str = "Microsoft.Sql/managedInstances/distributedAvailabilityGroups/delete";
const POLL: &str = "Microsoft.Sql/locations/distributedAvailabilityGroupsAzureAsyncOperation/read";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "arm.token",
        subject: ARM,
        words: "AADSTS7000215",
        broken: |bench| bench.write_secret("arm-secret", "not-this-one"),
        mend: Mend::Config,
    },
    Case {
        id: "arm.token",
        subject: ARM,
        words: "AADSTS700016",
        broken: |bench| nobody(bench, "arm.credential.client_id"),
        mend: Mend::Config,
    },
    Case {
        id: "arm.token",
        subject: ARM,
        words: "AADSTS90002",
        broken: |bench| nobody(bench, "arm.credential.tenant"),
        mend: Mend::Config,
    },
    Case {
        id: "arm.instance",
        subject: ARM,
        words: "SubscriptionNotFound",
        broken: |bench| nobody(bench, "arm.subscription"),
        mend: Mend::Config,
    },
    Case {
        id: "arm.instance",
        subject: ARM,
        words: "ResourceGroupNotFound",
        broken: |bench| bench.set("managed_instances.0.arm.resource_group", "rg-gone"),
        mend: Mend::Config,
    },
    Case {
        id: "arm.instance",
        subject: ARM,
        words: "ResourceNotFound",
        broken: |bench| bench.set("managed_instances.0.arm.instance", "mi-gone"),
        mend: Mend::Config,
    },
    Case {
        id: "arm.api_version",
        subject: ARM,
        words: "supported",
        broken: |bench| bench.set("managed_instances.0.arm.api_version", "2019-06-01-preview"),
        mend: Mend::Config,
    },
    Case {
        id: "arm.instance_state",
        subject: ARM,
        words: "Stopped",
        broken: |bench| bench.change(MI, Change::State("Stopped".to_owned())),
        mend: Mend::Hand(|bench| bench.change(MI, Change::State("Ready".to_owned()))),
    },
    Case {
        id: "arm.right_failover",
        subject: ARM,
        words: FAILOVER,
        broken: |bench| action(bench, FAILOVER, false),
        mend: Mend::Hand(|bench| action(bench, FAILOVER, true)),
    },
    Case {
        id: "arm.right_delete",
        subject: ARM,
        words: DELETE,
        broken: |bench| action(bench, DELETE, false),
        mend: Mend::Hand(|bench| action(bench, DELETE, true)),
    },
    Case {
        id: "arm.right_operations",
        subject: ARM,
        words: POLL,
        broken: |bench| action(bench, POLL, false),
        mend: Mend::Hand(|bench| action(bench, POLL, true)),
    },
    Case {
        id: "link.failover_mode",
        subject: "link LinkSales in Azure Resource Manager",
        words: "one-way link",
        broken: |bench| two_way(bench, false),
        mend: Mend::Hand(|bench| two_way(bench, true)),
    },
];

/// A number that is nobody's.
fn nobody(bench: &mut Bench, key: &str) {
    let key = format!("managed_instances.0.{key}");
    bench.set(&key, "00000000-0000-0000-0000-00000000dead");
}

fn action(bench: &mut Bench, action: &str, granted: bool) {
    bench.change(MI, Change::Action { action: action.to_owned(), granted });
}

fn two_way(bench: &mut Bench, two_way: bool) {
    let change = LinkChange::TwoWay(two_way);
    bench.change(MI, Change::Link { link: "LinkSales".to_owned(), change });
}
