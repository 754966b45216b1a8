//! Users and roles of a database: each login has a user of its name in each.

use crate::sql::env::Env;
use crate::sql::session::Permission;
use crate::sql::value::Value;
use crate::world::PrincipalKind;

use super::{Row, RowBuilder, View, principals, row};

/// Roles that every database has.
const ROLES: [(i64, &str); 10] = [
    (0, "public"),
    (16_384, "db_owner"),
    (16_385, "db_accessadmin"),
    (16_386, "db_securityadmin"),
    (16_387, "db_ddladmin"),
    (16_389, "db_backupoperator"),
    (16_390, "db_datareader"),
    (16_391, "db_datawriter"),
    (16_392, "db_denydatareader"),
    (16_393, "db_denydatawriter"),
];
const OWNER: i64 = 16_384;
const BACKUP: i64 = 16_389;

/// `sys.database_principals`
pub(super) fn users(env: &Env<'_>, view: &View) -> Vec<Row> {
    let role = |(id, name): (i64, &str)| {
        common(env, view, (id, name), ("R", "DATABASE_ROLE"))
            .set("owning_principal_id", 1)
            .set("is_fixed_role", id != 0)
            .coded("authentication_type", 0, "NONE")
            .done()
    };
    let built_in = |(id, name, schema): (i64, &str, Option<&str>)| {
        let own = if id == 1 { (1, "INSTANCE") } else { (0, "NONE") };
        common(env, view, (id, name), ("S", "SQL_USER"))
            .set("default_schema_name", schema)
            .set("sid", if id == 1 { Value::Bytes(vec![1]) } else { Value::Null })
            .coded("authentication_type", own.0, own.1)
            .done()
    };
    let mut rows: Vec<Row> = vec![role(ROLES[0])];
    rows.extend(
        [
            (1, "dbo", Some("dbo")),
            (2, "guest", Some("guest")),
            (3, "INFORMATION_SCHEMA", None),
            (4, "sys", None),
        ]
        .map(built_in),
    );
    let everybody = env.session.may(Permission::ViewAnyDefinition);
    let seen = env
        .world
        .logins(env.at())
        .iter()
        .filter(|login| everybody || login.name.eq_ignore_ascii_case(&env.session.login));
    rows.extend(seen.filter_map(|login| {
        let id = principals::user_id(env, &login.name)?;
        let (kind, by) = match login.kind {
            PrincipalKind::Sql => (("S", "SQL_USER"), (1, "INSTANCE")),
            PrincipalKind::Windows => (("U", "WINDOWS_USER"), (3, "WINDOWS")),
            PrincipalKind::External => (("E", "EXTERNAL_USER"), (4, "EXTERNAL")),
        };
        let sid = crate::world::Guid::derive(7, &login.name.to_lowercase());
        let made = common(env, view, (id, &login.name), kind)
            .set("default_schema_name", "dbo")
            .set("sid", Value::Bytes(sid.0.to_be_bytes().to_vec()))
            .coded("authentication_type", by.0, by.1);
        Some(made.done())
    }));
    rows.extend(ROLES[1..].iter().copied().map(role));
    rows
}

/// `sys.database_role_members`
pub(super) fn members(env: &Env<'_>, view: &View) -> Vec<Row> {
    let member = |role: i64, id: i64| {
        row(view).set("role_principal_id", role).set("member_principal_id", id).done()
    };
    let backs_up = |granted: &[&str]| granted.contains(&"BACKUP DATABASE");
    let logins = env.world.logins(env.at()).iter().filter(|login| backs_up(&login.granted));
    let operators = logins.filter_map(|login| principals::user_id(env, &login.name));
    std::iter::once(member(OWNER, 1)).chain(operators.map(|id| member(BACKUP, id))).collect()
}

fn common<'v>(
    env: &Env<'_>,
    view: &'v View,
    (id, name): (i64, &str),
    (kind, kind_desc): (&str, &str),
) -> RowBuilder<'v> {
    let made = env.datetime(env.instance.started());
    row(view)
        .set("name", name)
        .set("principal_id", id)
        .set("type", kind)
        .set("type_desc", kind_desc)
        .set("create_date", made.clone())
        .set("modify_date", made)
}
