//! The file itself, the files that it names, the place of the agent.

use std::{fs, net::TcpListener};

use tests::harness::Listener;
use toml::{Table, Value};

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
        id: "config.value",
        subject: "the configuration",
        words: "private key is published",
        broken: |bench| {
            // From RFC 8032: anybody can sign as alice.
            let published = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
            bench.set("approvers.alice.public_key", published);
        },
        mend: Mend::Config,
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
        id: "planned.applications",
        subject: "LinkSales",
        words: "exit code 127",
        broken: |bench| {
            let hook = bench.path("applications");
            fs::write(&hook, "#!/bin/sh\nexit 127\n").expect("a program is written");
            set_mode(&hook, 0o700);
            let command = vec![hook.to_str().expect("UTF-8").to_owned()];
            bench.set("links.0.planned.applications.command", command);
        },
        mend: Mend::Hand(|bench| {
            let hook = bench.path("applications");
            fs::write(&hook, "#!/bin/sh\necho stopped\nexit 3\n").expect("a program is written");
        }),
    },
    Case {
        id: "planned.applications",
        subject: "LinkSales",
        words: "people have to stop them",
        broken: |bench| bench.unset("links.0.planned.applications"),
        mend: Mend::Hand(|bench| {
            let hook = bench.path("applications").to_str().expect("UTF-8").to_owned();
            bench.set("links.0.planned.applications.command", vec![hook]);
        }),
    },
    Case {
        id: "guard.logins",
        subject: "LinkSales",
        words: "not kept out",
        broken: |bench| bench.unset("links.0.guard"),
        mend: Mend::Hand(|bench| bench.set("links.0.guard.logins", vec!["shop".to_owned()])),
    },
    Case {
        id: "repair.save",
        subject: "LinkSales",
        words: "no plan makes two primaries one",
        broken: |bench| bench.unset("links.0.repair"),
        mend: Mend::Hand(|bench| bench.set("links.0.repair.save.to", "/var/opt/mssql/backup/")),
    },
    Case {
        id: "alerts.receivers",
        subject: "the agent",
        words: "nobody is woken",
        broken: |bench| bench.unset("alerts"),
        mend: Mend::Hand(|bench| {
            let desk = Listener::start();
            bench.write_secret("webhook-secret", "a secret of the tests that signs messages");
            let url = desk.url();
            let hook: Table = toml::from_str(&format!(
                "name = \"desk\"\nurl = \"{url}\"\nsecret = {{ file = \"webhook-secret\" }}\n"
            ))
            .expect("TOML");
            bench.held.push(Box::new(desk));
            bench.set("alerts.webhooks", vec![Value::Table(hook)]);
        }),
    },
    Case {
        id: "placement.runbook",
        subject: "the paper runbook",
        words: "none is made",
        broken: |bench| bench.set("schedule.runbook", "off"),
        mend: Mend::Hand(|bench| bench.set("schedule.runbook", "0 5 6 * * *")),
    },
    Case {
        id: "placement.stated",
        subject: "the mail relay",
        words: "nobody has said",
        broken: |bench| bench.unset("placement"),
        mend: Mend::Hand(|bench| {
            bench.set("placement.mail_relays", Vec::<String>::new());
            bench.set("placement.approver_access", Vec::<String>::new());
        }),
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
