//! The file itself, the files that it names, the place of the agent.

use std::{fs, net::TcpListener};

use super::bench::{Case, Mend, set_mode};

pub(super) const CASES: &[Case] = &[
    Case {
        id: "files.secret",
        subject: "the agent's files",
        words: "sql-password",
        broken: |bench| set_mode(&bench.path("sql-password"), 0o644),
        mend: Mend::Shell,
    },
    Case {
        id: "files.secret",
        subject: "the agent's files",
        words: "arm-secret-gone",
        broken: |bench| {
            let key = "managed_instances.0.arm.credential.client_secret.file";
            bench.set(key, "arm-secret-gone");
        },
        mend: Mend::Config,
    },
    Case {
        id: "config.value",
        subject: "the configuration",
        words: "quorum",
        broken: |bench| bench.set("quorum.forced", 3),
        mend: Mend::Hand(|bench| bench.set("quorum.forced", 2)),
    },
    Case {
        id: "files.data_dir",
        subject: "the agent's files",
        words: "is not a folder",
        broken: |bench| {
            fs::write(bench.path("occupied"), "").expect("a file is written");
            bench.set("agent.data_dir", "occupied");
        },
        mend: Mend::Config,
    },
    Case {
        id: "files.data_dir_local",
        subject: "the agent's files",
        words: "tmpfs",
        broken: |bench| bench.set("agent.data_dir", "/dev/shm/dr-agent-check"),
        mend: Mend::Config,
    },
    Case {
        id: "planned.backup",
        subject: "LinkSales",
        words: "people have to take it",
        broken: |bench| bench.unset("links.0.planned.backup"),
        mend: Mend::Hand(|bench| {
            bench.set("links.0.planned.backup.to", "/var/opt/mssql/backup/");
            bench.keep();
        }),
    },
    Case {
        id: "http.listen",
        subject: "the agent's API",
        words: "something that is not the agent",
        broken: |bench| {
            let other = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            let address = other.local_addr().expect("an address").to_string();
            bench.held.push(Box::new(other));
            bench.set("http.listen", address);
        },
        mend: Mend::Config,
    },
    Case {
        id: "placement.witness",
        subject: "link LinkSales",
        words: "count as one witness",
        broken: |bench| bench.set("links.0.agent_domain", "azure-vpn"),
        mend: Mend::Config,
    },
    Case {
        id: "placement.part",
        subject: "the mail relay localhost and SQL Server sql01",
        words: "they share an address",
        broken: |bench| bench.set("placement.mail_relays", vec!["localhost".to_owned()]),
        mend: Mend::Hand(|bench| bench.unset("placement")),
    },
    Case {
        id: "placement.part",
        subject: "the approvers' access no-such-gateway.invalid",
        words: "nobody knows its address",
        broken: |bench| {
            bench.set("placement.approver_access", vec!["no-such-gateway.invalid".to_owned()]);
        },
        mend: Mend::Config,
    },
];
