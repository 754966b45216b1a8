//! Who may do what: roles on the resource group, what set-ups take away, and the resource that
//! tells of both.

use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Door,
    address::Address,
    errors::Problem,
    gate,
    resources::{Asked, known, not_supported},
};
use crate::world::AzureRole;

/// Refuses what the caller may not do.
pub(super) fn check(door: &Door, address: &Address, asked: &Asked) -> Result<(), Problem> {
    let Some(action) = address.action(&asked.method) else { return Ok(()) };
    let client = gate::caller(door, &asked.headers);
    if roles(door, &client).iter().any(|role| role.allows(&action)) {
        return Ok(());
    }
    let scope = asked.uri.path();
    let message = format!(
        "The client '{client}' with object id '{client}' does not have authorization to perform \
         action '{action}' over scope '{scope}' or the scope is invalid. If access was recently \
         granted, please refresh your credentials."
    );
    Err(Problem::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message).by_gateway())
}

/// Effective permissions (mi-link 6.5); they are the same at the group and at an instance.
pub(super) fn permissions(
    door: &Door,
    asked: &Asked,
    instance: Option<&str>,
) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    if let Some(instance) = instance {
        known(door, instance)?;
    }
    let client = gate::caller(door, &asked.headers);
    let value: Vec<Value> = roles(door, &client)
        .iter()
        .map(|role| {
            json!({
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": [],
                "notDataActions": [],
            })
        })
        .collect();
    Ok(Json(json!({ "value": value })).into_response())
}

/// The caller's roles, without what the set-up of an instance takes away.
fn roles(door: &Door, client: &str) -> Vec<AzureRole> {
    door.world.with(|world| {
        let denied: Vec<String> =
            world.instances().flat_map(|found| found.setup().denied.clone()).collect();
        let mut roles = world
            .directory()
            .application(client)
            .map(|application| application.roles.clone())
            .unwrap_or_default();
        for role in &mut roles {
            role.not_actions.extend(denied.iter().cloned());
        }
        roles
    })
}
