//! `sys.fn_my_permissions`: what one may do.

use crate::sql::env::Env;
use crate::sql::error::Result;
use crate::sql::functions::{permissions_of, permitted};
use crate::sql::value::Value;

use super::{Row, View, row};

/// `sys.fn_my_permissions(securable, class)`; no class is that of the server.
pub(super) fn mine(env: &Env<'_>, view: &View, arguments: &[Value]) -> Result<Vec<Row>> {
    let given = |place: usize| match arguments.get(place) {
        Some(Value::Text(text)) => Some(text.trim_end()),
        Some(_) | None => None,
    };
    let class = given(1).unwrap_or("SERVER").to_ascii_uppercase();
    let securable = given(0);
    let entity = match (class.as_str(), securable) {
        ("SERVER", _) => "server",
        ("DATABASE", None) => "database",
        (_, named) => named.unwrap_or_default(),
    };
    let of = |permission: &&&str| permitted(env, securable, &class, permission) == Some(true);
    let rows = permissions_of(&class).iter().filter(of).map(|permission| {
        row(view)
            .set("entity_name", entity)
            .set("subentity_name", "")
            .set("permission_name", *permission)
            .done()
    });
    Ok(rows.collect())
}
