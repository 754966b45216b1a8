//! Logins and what they may do.

use twin::world::setup::{Change, LoginChange};

use super::{
    super::rig::{MI, SQL},
    bench::{Bench, Case, Mend, NEW_PASSWORD},
};

const USER: &str = "dr_agent";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "sql.login",
        subject: "SQL Server sql01",
        words: "18456",
        broken: |bench| bench.write_secret("sql-password", "not-this-one"),
        mend: Mend::Config,
    },
    Case {
        id: "sql.login",
        subject: "managed instance mi-dr",
        words: "18456",
        broken: |bench| bench.set("managed_instances.0.login.user", "nobody"),
        mend: Mend::Hand(|bench| bench.set("managed_instances.0.login.user", USER)),
    },
    Case {
        id: "sql.action_login",
        subject: "SQL Server sql01",
        words: "18456",
        broken: |bench| {
            bench.write_secret("act-password", "not-this-one");
            let secret = [("file".to_owned(), "act-password".into())];
            let login = [
                ("user".to_owned(), "nobody".into()),
                ("password".to_owned(), toml::Value::Table(secret.into_iter().collect())),
            ];
            let login: toml::Table = login.into_iter().collect();
            bench.set("sql_servers.0.action_login", login);
        },
        mend: Mend::Hand(|bench| bench.unset("sql_servers.0.action_login")),
    },
    Case {
        id: "sql.login",
        subject: "SQL Server sql01",
        words: "18470",
        broken: |bench| refuse(bench, 18_470),
        mend: Mend::Sql,
    },
    Case {
        id: "sql.login",
        subject: "SQL Server sql01",
        words: "18486",
        broken: |bench| refuse(bench, 18_486),
        mend: Mend::SqlAnd(|bench| bench.write_secret("sql-password", NEW_PASSWORD)),
    },
    Case {
        id: "sql.login",
        subject: "SQL Server sql01",
        words: "18488",
        broken: |bench| refuse(bench, 18_488),
        mend: Mend::SqlAnd(|bench| bench.write_secret("sql-password", NEW_PASSWORD)),
    },
    Case {
        id: "sql.login",
        subject: "managed instance mi-dr",
        words: "40613",
        broken: |bench| login(bench, MI, LoginChange::Refused(Some(40_613))),
        mend: Mend::Hand(|bench| login(bench, MI, LoginChange::Refused(None))),
    },
    Case {
        id: "sql.right_server_state",
        subject: "SQL Server sql01",
        words: "VIEW SERVER STATE is not granted",
        broken: |bench| take(bench, SQL, "VIEW SERVER STATE"),
        mend: Mend::Sql,
    },
    Case {
        id: "sql.right_definition",
        subject: "managed instance mi-dr",
        words: "VIEW ANY DEFINITION is not granted",
        broken: |bench| take(bench, MI, "VIEW ANY DEFINITION"),
        mend: Mend::Sql,
    },
    Case {
        id: "sql.right_alter_group",
        subject: "link LinkSales on managed instance mi-dr",
        words: "15151",
        broken: |bench| take(bench, MI, "ALTER ANY AVAILABILITY GROUP"),
        mend: Mend::Sql,
    },
    Case {
        id: "sql.right_alter_database",
        subject: "SQL Server sql01",
        words: "a failover may be refused",
        broken: |bench| take(bench, SQL, "ALTER ANY DATABASE"),
        mend: Mend::Sql,
    },
];

fn take(bench: &mut Bench, at: &str, permission: &str) {
    let permission = permission.to_owned();
    login(bench, at, LoginChange::Permission { permission, granted: false });
}

fn refuse(bench: &mut Bench, number: u32) {
    login(bench, SQL, LoginChange::Refused(Some(number)));
}

fn login(bench: &mut Bench, at: &str, change: LoginChange) {
    bench.change(at, Change::Login { login: USER.to_owned(), change });
}
