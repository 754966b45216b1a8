//! What the numbers mean, and what to do.

use alloc::format;

use super::Writer;

type Numbers = (&'static str, &'static str);

/// Nothing has changed: what to do, then again.
const REFUSED: [Numbers; 12] = [
    (
        "47517, 41195",
        "wrong side: a planned failover runs on the PRIMARY. Ask for the roles, then run it on the other server.",
    ),
    ("41122", "this side is PRIMARY already. Ask for the roles: it may be done."),
    (
        "47514",
        "the secondary can't catch up. Mend the link (CONNECTED, HEALTHY, not suspended), then again.",
    ),
    ("47515", "too much log waits to be sent. The workload is not stopped: stop it, wait, again."),
    ("47516", "too much log waits to be redone. Wait, again."),
    ("41142", "not synchronised, or not joined: a condition is not met."),
    ("41140, 41190, 35251", "the side is not in a state for it. Ask for the roles, wait, again."),
    (
        "47122",
        "the name is that of the local group, which takes forced failover only. Use that of the link.",
    ),
    ("47511", "this is no link: wrong name, or the link is missing on the managed instance."),
    (
        "41993",
        "the managed instance can't open the database, for example for want of its key. Give it access first.",
    ),
    (
        "41970",
        "a planned change to Primary by the role-setting request of Azure: there is no such thing. Use this page's statements.",
    ),
    ("40613, 10928, 10929", "the managed instance is busy or on the move. Wait a minute, again."),
];

/// Something is under way, or nobody can tell.
const UNDER_WAY: [Numbers; 5] = [
    (
        "47513, 41113, 41968",
        "a failover or a change of role is under way. Send no other one; ask for the roles until they have changed.",
    ),
    ("47512", "an option was to be changed during a failover. Wait."),
    (
        "41149, 41163, 41165",
        "cancelled, or it waited too long: OUTCOME UNKNOWN. Ask both for their roles before anything else.",
    ),
    (
        "35250, 35256, a broken connection",
        "the network: OUTCOME UNKNOWN. Ask both for their roles before anything else.",
    ),
    (
        "41104",
        "the change of role failed, something did not come online. Wait half a minute, ask for the role, again, a few times; then part 8.",
    ),
];

/// There is no such way.
const NEVER: [Numbers; 7] = [
    ("41985", "this link can't be forced over (a one-way link). It can only be given up: part 9."),
    (
        "41191, 41984, 41988",
        "the formats do not match: the target's version is older. There is no way back over this link.",
    ),
    (
        "41979, 41980, 41981",
        "the key of the database is managed by the service: its log can't go to SQL Server. Set a key of your own in a key vault first.",
    ),
    ("35277", "there is no automatic failover of a distributed group."),
    (
        "47500 to 47504, 47519, 47520, 47522, 47523",
        "a change of the group that a link does not take.",
    ),
    (
        "1468",
        "READ_ONLY, SINGLE_USER and the like are refused in an availability group. Part 8 has what works.",
    ),
    (
        "41964",
        "an operation on the instance is blocked by a database that is being created over a link. Wait for it.",
    ),
];

/// Rights, access and what shows afterwards.
const AROUND: [Numbers; 9] = [
    (
        "15151, 297, 300, 229",
        "the login may not do it, or the name is wrong: ALTER on the group to act; VIEW SERVER STATE and VIEW ANY DEFINITION to look.",
    ),
    ("47505, 47506", "the endpoint or its certificate is missing, or the login may not see it."),
    (
        "976, 978, 983",
        "the database is secondary or in between and can't be read there now. On an old primary that is what you want.",
    ),
    ("18456", "no such login on this server: logins are not replicated."),
    (
        "9002",
        "the log is full. Ask LOG REUSE on the PRIMARY, whichever it is now. LOG_BACKUP: take a log backup and start the backup jobs; on a managed instance Azure takes them, so find out what keeps it. ACTIVE_TRANSACTION: end that one (DBCC OPENTRAN). AVAILABILITY_REPLICA: the link keeps it: resume or mend the link if that is a matter of minutes, else part 9, which differs by who is PRIMARY. Room for the log, meanwhile, buys time in every case.",
    ),
    ("35264, 35265", "data movement was suspended (it says why; resume it by hand), or goes on."),
    (
        "35268, 35269, 35274, 35278, 35285",
        "the database is being brought in line with the primary: inconsistent, waiting for log, restarted, or found its place. Wait; SUSPECT: seed anew.",
    ),
    (
        "41962, 41973, 41974, 41976, 41977, 41986, 41998, 47521",
        "the link is not connected: time, certificate missing on either side, group, database or endpoint not answering. After a forced failover that is so until part 7 is done.",
    ),
    (
        "1480, 41121, 41965",
        "a role has changed, or is what it was asked to be: to be read, not acted on.",
    ),
];

impl Writer<'_> {
    pub(super) fn errors(&mut self) {
        self.page.title(2, "10. Numbers of errors");
        let kinds: [(&str, &[Numbers]); 4] = [
            ("Refused: nothing has changed", &REFUSED),
            ("Under way, or nobody can tell", &UNDER_WAY),
            ("No such way", &NEVER),
            ("Rights, access, and what shows afterwards", &AROUND),
        ];
        for (title, numbers) in kinds {
            self.page.title(3, title);
            for (numbers, words) in numbers {
                self.page.item(&format!("{numbers}: {words}"));
            }
        }
        self.page.title(3, "From Azure");
        self.page.item("400 InvalidDistributedAvailabilityGroupFailoverInstanceRole: a planned failover while the managed instance is SECONDARY. Run the statement on SQL Server.");
        self.page.item("202 and HTTP 200 are no success: read `status` of the operation, then the roles. Succeeded may be told with failoverMode None, which is not so.");
        self.page
            .item("404 ResourceNotFound: wrong subscription, resource group, instance or link.");
        self.page.item("401, 403: another account, with Microsoft.Sql/managedInstances/distributedAvailabilityGroups/failover/action. A 403 when polling: it goes on all the same; ask for the roles.");
        self.page.item("409, 429, 503: busy. Not taken; again after a minute.");
    }
}
