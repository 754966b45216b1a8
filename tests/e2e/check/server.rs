//! Settings of SQL Server, its endpoint and certificates, its databases, the link.

use twin::world::{
    UpdatePolicy,
    setup::{Change, DatabaseChange, EndpointChange, LinkChange, Until},
};

use super::{
    super::rig::{MI, SQL},
    bench::{Bench, Case, Mend},
};

const SERVER: &str = "SQL Server sql01";
const ON_SERVER: &str = "link LinkSales on SQL Server sql01";
const PARTNER: &str = "mi-dr.0a1b2c3d4e5f.database.windows.net";
const OWN: &str = "Cert_SQL01_endpoint";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "sql.build",
        subject: SERVER,
        words: "16.0.4125.3 (CU13)",
        broken: |bench| bench.change(SQL, Change::ProductVersion("16.0.4115.5".to_owned())),
        mend: Mend::Hand(|bench| {
            bench.change(SQL, Change::ProductVersion("16.0.4125.3".to_owned()));
        }),
    },
    Case {
        id: "sql.edition",
        subject: SERVER,
        words: "Web Edition",
        broken: |bench| bench.change(SQL, Change::Edition("Web Edition (64-bit)".to_owned())),
        mend: Mend::Hand(|bench| {
            bench.change(SQL, Change::Edition("Enterprise Edition (64-bit)".to_owned()));
        }),
    },
    Case {
        id: "sql.hadr",
        subject: SERVER,
        words: "not enabled",
        broken: |bench| bench.change(SQL, Change::Hadr(false)),
        mend: Mend::Hand(|bench| bench.change(SQL, Change::Hadr(true))),
    },
    Case {
        id: "sql.trace_flags",
        subject: SERVER,
        words: "off: 1800, 9567",
        broken: |bench| bench.sql(SQL, "DBCC TRACEOFF(1800, 9567, -1);"),
        mend: Mend::Sql,
    },
    Case {
        id: "clock.server",
        subject: SERVER,
        words: "ahead of this machine",
        broken: |bench| bench.change(SQL, Change::ClockAhead(90)),
        mend: Mend::Hand(|bench| bench.change(SQL, Change::ClockAhead(0))),
    },
    Case {
        id: "sql.master_key",
        subject: SERVER,
        words: "there is none",
        broken: |bench| bench.change(SQL, Change::MasterKey(false)),
        mend: Mend::Sql,
    },
    Case {
        id: "sql.endpoint",
        subject: SERVER,
        words: "there is none",
        broken: |bench| bench.sql(SQL, "DROP ENDPOINT database_mirroring_endpoint;"),
        mend: Mend::Sql,
    },
    Case {
        id: "sql.endpoint_started",
        subject: SERVER,
        words: "STOPPED",
        broken: |bench| {
            bench.sql(SQL, "ALTER ENDPOINT database_mirroring_endpoint STATE = STOPPED;");
        },
        mend: Mend::Sql,
    },
    Case {
        id: "sql.endpoint_encryption",
        subject: SERVER,
        words: "none required",
        broken: |bench| {
            endpoint(bench, EndpointChange { encrypted: Some(false), ..EndpointChange::default() });
        },
        mend: Mend::Sql,
    },
    Case {
        id: "sql.endpoint_auth",
        subject: SERVER,
        words: "it takes NEGOTIATE",
        broken: |bench| {
            bench.sql(
                SQL,
                "ALTER ENDPOINT database_mirroring_endpoint FOR DATABASE_MIRRORING \
                 (AUTHENTICATION = WINDOWS NEGOTIATE);",
            );
        },
        mend: Mend::Sql,
    },
    Case {
        id: "sql.endpoint_certificate",
        subject: SERVER,
        words: "expires on",
        broken: |bench| {
            let until = Until::Days(12);
            bench.change(SQL, Change::Certificate { name: OWN.to_owned(), own: true, until });
        },
        mend: Mend::Sql,
    },
    Case {
        id: "sql.partner_certificate",
        subject: SERVER,
        words: "there is no certificate named mi-dr.",
        broken: |bench| bench.sql(SQL, &format!("DROP CERTIFICATE [{PARTNER}];")),
        mend: Mend::Sql,
    },
    Case {
        id: "sql.partner_certificate",
        subject: SERVER,
        words: "has expired",
        broken: |bench| {
            let until = Until::Days(-3);
            bench.change(SQL, Change::Certificate { name: PARTNER.to_owned(), own: false, until });
        },
        mend: Mend::Sql,
    },
    Case {
        id: "database.recovery_model",
        subject: ON_SERVER,
        words: "SIMPLE",
        broken: |bench| bench.sql(SQL, "ALTER DATABASE [Sales] SET RECOVERY SIMPLE;"),
        mend: Mend::Sql,
    },
    Case {
        id: "database.access",
        subject: ON_SERVER,
        words: "SINGLE_USER",
        broken: |bench| {
            // No statement does that to a database of a group.
            let (database, change) = ("Sales".to_owned(), DatabaseChange::SingleUser(true));
            bench.change(SQL, Change::Database { database, change });
        },
        mend: Mend::Sql,
    },
    Case {
        id: "database.full_backup",
        subject: ON_SERVER,
        words: "msdb knows of none",
        broken: |bench| {
            let (database, change) = ("Sales".to_owned(), DatabaseChange::NoBackups);
            bench.change(SQL, Change::Database { database, change });
        },
        mend: Mend::Sql,
    },
    Case {
        id: "database.data_movement",
        subject: "link LinkSales on managed instance mi-dr",
        words: "suspended",
        broken: |bench| bench.sql(MI, "ALTER DATABASE [Sales] SET HADR SUSPEND;"),
        mend: Mend::Sql,
    },
    Case {
        id: "database.online",
        subject: ON_SERVER,
        words: "there is no database Sails",
        broken: |bench| bench.set("links.0.database", "Sails"),
        mend: Mend::Config,
    },
    Case {
        id: "link.group",
        subject: ON_SERVER,
        words: "it knows no group LinkSails",
        broken: |bench| bench.set("links.0.group", "LinkSails"),
        mend: Mend::Config,
    },
    Case {
        id: "link.required_synchronized",
        subject: ON_SERVER,
        words: "nothing commits",
        broken: |bench| link(bench, LinkChange::Required(1)),
        mend: Mend::Sql,
    },
    Case {
        id: "link.session_timeout",
        subject: ON_SERVER,
        words: "120 s",
        broken: |bench| link(bench, LinkChange::SessionTimeout(120)),
        mend: Mend::Hand(|bench| link(bench, LinkChange::SessionTimeout(20))),
    },
    Case {
        id: "link.collation",
        subject: "link LinkSales",
        words: "Latin1_General_100_CI_AS",
        broken: |bench| {
            bench.change(MI, Change::Collation("Latin1_General_100_CI_AS".to_owned()));
        },
        mend: Mend::Hand(|bench| {
            bench.change(MI, Change::Collation("SQL_Latin1_General_CP1_CI_AS".to_owned()));
        }),
    },
    Case {
        id: "link.way_back",
        subject: "link LinkSales",
        words: "over, and not back",
        broken: |bench| bench.change(MI, Change::Policy(UpdatePolicy::AlwaysUpToDate)),
        mend: Mend::Hand(|bench| bench.change(MI, Change::Policy(UpdatePolicy::SQLServer2022))),
    },
];

fn endpoint(bench: &mut Bench, change: EndpointChange) {
    bench.change(SQL, Change::Endpoint(change));
}

fn link(bench: &mut Bench, change: LinkChange) {
    bench.change(SQL, Change::Link { link: "LinkSales".to_owned(), change });
}
