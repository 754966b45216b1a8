//! Who has a login, which roles and rights it has; credentials.

use crate::sql::env::Env;
use crate::sql::session::Permission;
use crate::sql::value::Value;
use crate::world::{Principal, PrincipalKind};

use super::{Row, RowBuilder, View, row};

/// Roles of the server by their numbers, `public` first.
const ROLES: [(i64, &str); 9] = [
    (2, "public"),
    (3, "sysadmin"),
    (4, "securityadmin"),
    (5, "serveradmin"),
    (6, "setupadmin"),
    (7, "processadmin"),
    (8, "diskadmin"),
    (9, "dbcreator"),
    (10, "bulkadmin"),
];
const SYSADMIN: i64 = 3;
/// The number of the first login that somebody made.
const FIRST: i64 = 257;
/// `type` of `sys.server_permissions`.
const TYPES: [(&str, &str); 13] = [
    ("ALTER ANY AVAILABILITY GROUP", "ALAG"),
    ("ALTER ANY CONNECTION", "ALCO"),
    ("ALTER ANY DATABASE", "ALDB"),
    ("ALTER ANY LOGIN", "ALLG"),
    ("CONNECT ANY DATABASE", "CADB"),
    ("CONNECT SQL", "COSQ"),
    ("CONTROL SERVER", "CL"),
    ("CREATE ANY DATABASE", "CRDB"),
    ("SHUTDOWN", "SHDN"),
    ("VIEW ANY DEFINITION", "VWAD"),
    ("VIEW SERVER PERFORMANCE STATE", "VSPS"),
    ("VIEW SERVER SECURITY STATE", "VSSS"),
    ("VIEW SERVER STATE", "VWSS"),
];

/// `sys.server_principals`
pub(super) fn server(env: &Env<'_>, view: &View) -> Vec<Row> {
    let sa = common(env, row(view), ("sa", 1), ("S", "SQL_LOGIN"));
    let sa = sa
        .set("sid", Value::Bytes(vec![1]))
        .set("is_disabled", env.instance.setup().login("sa").refused == Some(18_470))
        .set("default_database_name", "master")
        .set("default_language_name", "us_english")
        .set("is_fixed_role", false);
    let role = |(id, name): (i64, &str)| {
        let id_byte = u8::try_from(id).unwrap_or(0);
        common(env, row(view), (name, id), ("R", "SERVER_ROLE"))
            .set("sid", Value::Bytes(vec![id_byte]))
            .set("is_disabled", false)
            .set("owning_principal_id", 1)
            .set("is_fixed_role", id != 2)
            .done()
    };
    let mut rows = vec![sa.done()];
    rows.extend(ROLES.map(role));
    rows.extend(seen(env).map(|(id, login)| of_login(env, row(view), id, login).done()));
    rows
}

/// `sys.sql_logins`
pub(super) fn sql(env: &Env<'_>, view: &View) -> Vec<Row> {
    let sql = seen(env).filter(|(_, login)| login.kind == PrincipalKind::Sql);
    let of = |(id, login): (i64, &Principal)| {
        of_login(env, row(view), id, login)
            .set("is_policy_checked", true)
            .set("is_expiration_checked", false)
            .done()
    };
    sql.map(of).collect()
}

/// `sys.server_role_members`
pub(super) fn members(env: &Env<'_>, view: &View) -> Vec<Row> {
    let logins = all(env).filter(|(_, login)| login.sysadmin).map(|(id, _)| id);
    let ids = std::iter::once(1).chain(logins);
    ids.map(|id| row(view).set("role_principal_id", SYSADMIN).set("member_principal_id", id).done())
        .collect()
}

/// `sys.server_permissions`
pub(super) fn permissions(env: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |(id, login): (i64, &Principal)| {
        let without = env.instance.setup().login(&login.name).without;
        let granted = login.granted.iter().filter(move |name| !without.contains(**name));
        let granted: Vec<&str> = std::iter::once("CONNECT SQL").chain(granted.copied()).collect();
        granted.into_iter().filter_map(move |name| {
            let (_, code) = TYPES.iter().find(|(known, _)| *known == name)?;
            Some(
                row(view)
                    .coded("class", 100, "SERVER")
                    .set("grantee_principal_id", id)
                    .set("grantor_principal_id", 1)
                    .set("type", format!("{code:<4}"))
                    .set("permission_name", name)
                    .set("state", "G")
                    .set("state_desc", "GRANT")
                    .done(),
            )
        })
    };
    seen(env).flat_map(of).collect()
}

/// `sys.credentials`
pub(super) fn credentials(env: &Env<'_>, view: &View) -> Vec<Row> {
    let made = env.instance.setup().credentials.iter().zip(65_536_i64..);
    made.map(|((name, credential), id)| {
        row(view)
            .set("credential_id", id)
            .set("name", name.as_str())
            .set("credential_identity", credential.identity.as_str())
            .set("create_date", env.datetime(credential.created))
            .set("modify_date", env.datetime(credential.created))
            .done()
    })
    .collect()
}

/// `USER_ID`: each login has a user of its name in each database.
pub(crate) fn user_id(env: &Env<'_>, name: &str) -> Option<i64> {
    const OWN: [&str; 4] = ["dbo", "guest", "INFORMATION_SCHEMA", "sys"];
    const FIRST_OWN: i64 = 5;
    if let Some((id, _)) = (1..).zip(OWN).find(|(_, known)| known.eq_ignore_ascii_case(name)) {
        return Some(id);
    }
    let (id, _) = all(env).find(|(_, login)| login.name.eq_ignore_ascii_case(name))?;
    Some(id - FIRST + FIRST_OWN)
}

fn of_login<'v>(env: &Env<'_>, row: RowBuilder<'v>, id: i64, login: &Principal) -> RowBuilder<'v> {
    let kind = match login.kind {
        PrincipalKind::Sql => ("S", "SQL_LOGIN"),
        PrincipalKind::Windows => ("U", "WINDOWS_LOGIN"),
        PrincipalKind::External => ("E", "EXTERNAL_LOGIN"),
    };
    let disabled = env.instance.setup().login(&login.name).refused == Some(18_470);
    let sid = crate::world::Guid::derive(7, &login.name.to_lowercase());
    let row = common(env, row, (&login.name, id), kind)
        .set("sid", Value::Bytes(sid.0.to_be_bytes().to_vec()))
        .set("is_disabled", disabled)
        .set("default_database_name", login.database.as_str())
        .set("default_language_name", "us_english");
    if row.has("is_fixed_role") { row.set("is_fixed_role", false) } else { row }
}

fn common<'v>(
    env: &Env<'_>,
    row: RowBuilder<'v>,
    (name, id): (&str, i64),
    (kind, kind_desc): (&str, &str),
) -> RowBuilder<'v> {
    row.set("name", name)
        .set("principal_id", id)
        .set("type", kind)
        .set("type_desc", kind_desc)
        .set("create_date", env.datetime(env.instance.started()))
        .set("modify_date", env.datetime(env.instance.started()))
}

fn all<'a>(env: &Env<'a>) -> impl Iterator<Item = (i64, &'a Principal)> {
    (FIRST..).zip(env.world.logins(&env.instance.name))
}

/// All logins, or one's own without the right to see definitions.
fn seen<'a>(env: &Env<'a>) -> impl Iterator<Item = (i64, &'a Principal)> {
    let everybody = env.session.may(Permission::ViewAnyDefinition);
    let own = env.session.login.clone();
    all(env).filter(move |(_, login)| everybody || login.name.eq_ignore_ascii_case(&own))
}
