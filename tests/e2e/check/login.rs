//! Logins and what they may do.

use twin::world::{
    DirectoryChange,
    setup::{Change, LoginChange},
};

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
    renewed("18486", |bench| refuse(bench, 18_486)),
    renewed("18488", |bench| refuse(bench, 18_488)),
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
    Case {
        id: "sql.right_drop_groups",
        subject: "SQL Server sql01",
        words: "an old copy that takes writes",
        broken: |bench| take(bench, SQL, "ALTER ANY AVAILABILITY GROUP"),
        mend: Mend::Sql,
    },
    Case {
        id: "sql.right_end_sessions",
        subject: "SQL Server sql01",
        words: "a repair waits in vain",
        broken: |bench| take(bench, SQL, "ALTER ANY CONNECTION"),
        mend: Mend::Sql,
    },
    Case {
        id: "sql.right_alter_login",
        subject: "SQL Server sql01",
        words: "comes back at once",
        broken: |bench| {
            let guard = [("logins".to_owned(), toml::Value::from(vec!["shop".to_owned()]))];
            bench.set("links.0.guard", guard.into_iter().collect::<toml::Table>());
            take(bench, SQL, "ALTER ANY LOGIN");
        },
        mend: Mend::Sql,
    },
    Case {
        id: "sql.right_backup",
        subject: "link LinkSales on SQL Server sql01",
        words: "the backup would fail with 262",
        broken: |bench| {
            let place = [("to".to_owned(), "/var/opt/mssql/backup/".into())];
            bench.set("links.0.planned.backup", place.into_iter().collect::<toml::Table>());
            take(bench, SQL, "BACKUP DATABASE");
        },
        mend: Mend::Sql,
    },
    Case {
        id: "sql.right_msdb",
        subject: "link LinkSales on SQL Server sql01",
        words: "nobody is told whether the log is backed up",
        broken: |bench| take(bench, SQL, "SELECT"),
        mend: Mend::Sql,
    },
];

/// Windows accounts and tokens. Each case leaves the login that it has mended.
pub(super) const ACCOUNTS: &[Case] = &[
    Case {
        id: "sql.login",
        subject: "SQL Server sql01",
        words: "18452",
        broken: |bench| {
            bench.write_secret("windows-password", "not-this-one");
            windows(bench, "TWIN\\dr_agent");
        },
        mend: Mend::Hand(|bench| {
            let password = bench.twin.endpoints.logins["windows"].password.clone();
            bench.write_secret("windows-password", &password);
        }),
    },
    Case {
        id: "sql.login",
        subject: "SQL Server sql01",
        words: "18456: Login failed for user 'TWIN\\nobody'",
        broken: |bench| {
            let password = bench.twin.endpoints.logins["windows"].password.clone();
            let account = "nobody".to_owned();
            let change = DirectoryChange::Password { account, password };
            bench.twin.direct(&change).expect("another account");
            windows(bench, "TWIN\\nobody");
        },
        mend: Mend::Hand(|bench| windows(bench, "TWIN\\dr_agent")),
    },
    Case {
        id: "sql.login",
        subject: "managed instance mi-dr",
        words: "Incorrect or invalid token",
        broken: |bench| {
            let scope = ("scope".to_owned(), "https://management.azure.com/.default".into());
            let login = [("entra".to_owned(), true.into()), scope];
            bench.set("managed_instances.0.login", login.into_iter().collect::<toml::Table>());
        },
        mend: Mend::Hand(|bench| bench.unset("managed_instances.0.login.scope")),
    },
    Case {
        id: "sql.login",
        subject: "SQL Server sql01",
        words: "it is not read",
        broken: |bench| {
            let machine = bench.twin.endpoints.machine.clone();
            let credential = [
                ("kind".to_owned(), toml::Value::from("arc_managed_identity")),
                ("identity_endpoint".to_owned(), machine.endpoint.into()),
                ("token_folder".to_owned(), "/var/opt/elsewhere".into()),
            ];
            let credential = credential.into_iter().collect::<toml::Table>();
            let login = [
                ("entra".to_owned(), toml::Value::from(true)),
                ("credential".to_owned(), credential.into()),
            ];
            bench.set("sql_servers.0.login", login.into_iter().collect::<toml::Table>());
            // What the machine is may only watch.
            acting(bench);
        },
        mend: Mend::Hand(|bench| {
            let folder = bench.twin.endpoints.machine.folder.display().to_string();
            bench.set("sql_servers.0.login.credential.token_folder", folder);
        }),
    },
];

fn windows(bench: &mut Bench, account: &str) {
    let password = [("file".to_owned(), toml::Value::from("windows-password"))];
    let login = [
        ("windows".to_owned(), toml::Value::from(account)),
        ("password".to_owned(), password.into_iter().collect::<toml::Table>().into()),
    ];
    bench.set("sql_servers.0.login", login.into_iter().collect::<toml::Table>());
}

/// The ordinary login carries out the steps.
fn acting(bench: &mut Bench) {
    let password = [("file".to_owned(), toml::Value::from("sql-password"))];
    let login = [
        ("user".to_owned(), toml::Value::from(USER)),
        ("password".to_owned(), password.into_iter().collect::<toml::Table>().into()),
    ];
    bench.set("sql_servers.0.action_login", login.into_iter().collect::<toml::Table>());
}

fn take(bench: &mut Bench, at: &str, permission: &str) {
    let permission = permission.to_owned();
    login(bench, at, LoginChange::Permission { permission, granted: false });
}

/// A login that needs another password.
const fn renewed(words: &'static str, broken: fn(&mut Bench)) -> Case {
    let mend = Mend::SqlAnd(|bench| bench.write_secret("sql-password", NEW_PASSWORD));
    Case { id: "sql.login", subject: "SQL Server sql01", words, broken, mend }
}

fn refuse(bench: &mut Bench, number: u32) {
    login(bench, SQL, LoginChange::Refused(Some(number)));
}

fn login(bench: &mut Bench, at: &str, change: LoginChange) {
    bench.change(at, Change::Login { login: USER.to_owned(), change });
}
