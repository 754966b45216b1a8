//! Requests that concern links.

use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Door,
    errors::Problem,
    gate,
    operations::{self, Accepted},
    resources::{Asked, known, not_supported},
    shapes,
};
use crate::world::{
    ArmCommand, ArmError, AzureCommand, FailoverType, LinkOrder, LinkPatch, Role, RoleChange,
    RoleOrder,
};

/// The first version that knows of links with several databases.
const SEVERAL_SINCE: &str = "2025-08-01-preview";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    databases: Option<Vec<Named>>,
    instance_availability_group_name: Option<String>,
    partner_availability_group_name: Option<String>,
    partner_endpoint: Option<String>,
    instance_link_role: Option<String>,
    failover_mode: Option<String>,
    seeding_mode: Option<String>,
    link_mode: Option<String>,
    replication_mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    database_name: String,
}

pub(super) fn list(door: &Door, asked: &Asked, name: &str) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let name = known(door, name)?;
    let links = door.world.with(|world| world.azure_links(&name));
    let value: Vec<_> = links
        .iter()
        .map(|link| shapes::azure_link(&door.cloud, &name, link, asked.version()))
        .collect();
    Ok(Json(json!({ "value": value })).into_response())
}

pub(super) async fn one(
    door: &Door,
    asked: &Asked,
    name: &str,
    link: &str,
) -> Result<Response, Problem> {
    let name = known(door, name)?;
    let command = match asked.method {
        Method::GET => {
            let found = door.world.with(|world| world.azure_link(&name, link));
            let found = found.ok_or_else(|| Problem::from(ArmError::link_not_found(link)))?;
            let body = shapes::azure_link(&door.cloud, &name, &found, asked.version());
            return Ok(Json(body).into_response());
        }
        Method::PUT => AzureCommand::CreateLink(order(asked, link)?),
        Method::PATCH => AzureCommand::UpdateLink { link: link.to_owned(), patch: patch(asked)? },
        Method::DELETE => AzureCommand::DeleteLink(link.to_owned()),
        _ => return Err(not_supported(&asked.method)),
    };
    operations::take(door, asked, &name, command).await
}

pub(super) async fn fail_over(
    door: &Door,
    asked: &Asked,
    instance: &str,
    link: &str,
) -> Result<Response, Problem> {
    if asked.method != Method::POST {
        return Err(not_supported(&asked.method));
    }
    let instance = known(door, instance)?;
    let kind = failover_type(&asked.body)?;
    let who = gate::origin(&asked.headers, &gate::caller(door, &asked.headers));
    let command = ArmCommand::Failover { instance, link: link.to_owned(), kind };
    let accepted = door.world.with(|world| {
        let accepted = world.arm(&who, command)?;
        let guid = world.operation(accepted.operation).map(|operation| operation.guid);
        Ok::<_, ArmError>(Accepted { operation: guid, reply: accepted.reply })
    })?;
    operations::accept(door, asked, accepted).await
}

pub(super) async fn set_role(
    door: &Door,
    asked: &Asked,
    instance: &str,
    link: &str,
) -> Result<Response, Problem> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Body {
        instance_role: String,
        role_change_type: String,
    }
    if asked.method != Method::POST {
        return Err(not_supported(&asked.method));
    }
    let instance = known(door, instance)?;
    let body: Body = serde_json::from_slice(&asked.body).unwrap_or_default();
    let role = word(Some(&body.instance_role), "instanceRole", ["Secondary", "Primary"])?;
    let change = word(Some(&body.role_change_type), "roleChangeType", ["Planned", "Forced"])?;
    let order = RoleOrder {
        role: if role == Some(true) { Role::Primary } else { Role::Secondary },
        change: if change == Some(true) { RoleChange::Forced } else { RoleChange::Planned },
    };
    let command = AzureCommand::SetRole { link: link.to_owned(), order };
    operations::take(door, asked, &instance, command).await
}

fn order(asked: &Asked, link: &str) -> Result<LinkOrder, Problem> {
    let properties = properties(asked)?;
    let knows = asked.version() >= SEVERAL_SINCE;
    let mode = properties.link_mode.as_deref().filter(|_| knows);
    let several = word(mode, "linkMode", ["SingleDatabase", "MultiDatabase"])?;
    let role = properties.instance_link_role.as_deref();
    let role = word(role, "instanceLinkRole", ["Secondary", "Primary"])?;
    let two_way = word(properties.failover_mode.as_deref(), "failoverMode", ["None", "Manual"])?;
    let seeding = properties.seeding_mode.as_deref();
    let automatic = word(seeding, "seedingMode", ["Manual", "Automatic"])?;
    let order = LinkOrder {
        name: link.to_owned(),
        databases: names(properties.databases).unwrap_or_default(),
        from_instance: role == Some(true),
        instance_group: properties.instance_availability_group_name.unwrap_or_default(),
        partner_group: properties.partner_availability_group_name.unwrap_or_default(),
        partner_endpoint: properties.partner_endpoint.unwrap_or_default(),
        two_way,
        automatic: automatic.unwrap_or(true),
        several: several == Some(true),
    };
    order.check()?;
    Ok(order)
}

fn patch(asked: &Asked) -> Result<LinkPatch, Problem> {
    let properties = properties(asked)?;
    let mode = properties.replication_mode.as_deref();
    let synchronous = word(mode, "replicationMode", ["Async", "Sync"])?;
    Ok(LinkPatch { synchronous, databases: names(properties.databases) })
}

fn names(databases: Option<Vec<Named>>) -> Option<Vec<String>> {
    Some(databases?.into_iter().map(|database| database.database_name).collect())
}

fn properties(asked: &Asked) -> Result<Properties, Problem> {
    if asked.body.is_empty() {
        return Ok(Properties::default());
    }
    let body: Result<Body, _> = serde_json::from_slice(&asked.body);
    body.map(|body| body.properties).map_err(|_| {
        let message = "The request content was invalid and could not be deserialized.";
        Problem::new(StatusCode::BAD_REQUEST, "InvalidRequestContent", message).by_gateway()
    })
}

/// Which of two words of an enumeration was given. An unknown one is refused with the misleading
/// code that was recorded (addendum 2.6).
fn word(given: Option<&str>, property: &str, known: [&str; 2]) -> Result<Option<bool>, Problem> {
    let Some(given) = given else { return Ok(None) };
    let found = known.iter().position(|word| word.eq_ignore_ascii_case(given));
    found.map(|place| Some(place == 1)).ok_or_else(|| Problem::invalid_segment(property))
}

fn failover_type(body: &[u8]) -> Result<FailoverType, Problem> {
    #[derive(Deserialize)]
    struct Asked {
        #[serde(rename = "failoverType")]
        failover_type: String,
    }
    let asked: Option<Asked> = serde_json::from_slice(body).ok();
    match asked.as_ref().map(|asked| asked.failover_type.as_str()) {
        Some("Planned") => Ok(FailoverType::Planned),
        Some("ForcedAllowDataLoss") => Ok(FailoverType::ForcedAllowDataLoss),
        Some(_) | None => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "InvalidDistributedAvailabilityGroupFailoverRequest",
            "The distributed availability group failover request body is empty or invalid.",
        )),
    }
}
