//! Names of managed instances in DNS. They move between managed instances and cannot point at a SQL
//! Server (mi-link 6.5), so they are no way to repoint an application across a link.

use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Cloud, Door,
    errors::Problem,
    operations,
    resources::{Asked, known, not_supported, with_instance},
    shapes,
};
use crate::world::{ArmError, AzureCommand, Instance};

const TYPE: &str = "Microsoft.Sql/managedInstances/dnsAliases";

pub(super) fn list(door: &Door, asked: &Asked, name: &str) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let (_, value) = with_instance(door, name, |_, found| {
        let all = found.resource().aliases.keys();
        all.filter_map(|alias| body(&door.cloud, found, alias)).collect::<Vec<_>>()
    })?;
    Ok(Json(json!({ "value": value })).into_response())
}

pub(super) async fn one(
    door: &Door,
    asked: &Asked,
    name: &str,
    alias: &str,
) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Body {
        create_dns_record: bool,
    }
    impl Default for Body {
        fn default() -> Body {
            Body { create_dns_record: true }
        }
    }
    let command = match asked.method {
        Method::GET => {
            let (_, found) = with_instance(door, name, |_, found| body(&door.cloud, found, alias))?;
            let message = format!(
                "The requested resource of type '{TYPE}' with name '{alias}' was not found."
            );
            let found = found.ok_or_else(|| Problem::from(ArmError::not_found(&message)))?;
            return Ok(Json(found).into_response());
        }
        Method::PUT => {
            let body: Body = serde_json::from_slice(&asked.body).unwrap_or_default();
            AzureCommand::PutAlias { name: alias.to_owned(), recorded: body.create_dns_record }
        }
        Method::DELETE => AzureCommand::DeleteAlias(alias.to_owned()),
        _ => return Err(not_supported(&asked.method)),
    };
    let name = known(door, name)?;
    operations::take(door, asked, &name, command).await
}

pub(super) async fn acquire(
    door: &Door,
    asked: &Asked,
    name: &str,
    alias: &str,
) -> Result<Response, Problem> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Body {
        old_managed_server_dns_alias_resource_id: String,
    }
    if asked.method != Method::POST {
        return Err(not_supported(&asked.method));
    }
    let body: Body = serde_json::from_slice(&asked.body).unwrap_or_default();
    let id = body.old_managed_server_dns_alias_resource_id;
    let mut segments =
        id.split('/').skip_while(|part| !part.eq_ignore_ascii_case("managedInstances"));
    let Some(from) = segments.nth(1) else {
        let message = "An invalid value was given to parameter OldManagedServerDnsAliasResourceId.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "InvalidParameterValue", message));
    };
    let (name, from) = (known(door, name)?, known(door, from)?);
    let command = AzureCommand::AcquireAlias { name: alias.to_owned(), from };
    operations::take(door, asked, &name, command).await
}

/// What `Location` answers: no records, and an id without a resource group, as recorded.
pub(super) fn moved(cloud: &Cloud, instance: &str, alias: &str) -> Value {
    let id = format!(
        "/subscriptions/{}/resourceGroups//providers/Microsoft.Sql/managedInstances/{instance}\
         /dnsAliases/{alias}",
        cloud.subscription
    );
    json!({ "properties": {}, "id": id, "name": alias, "type": TYPE })
}

fn body(cloud: &Cloud, instance: &Instance, alias: &str) -> Option<Value> {
    let recorded = *instance.resource().aliases.get(alias)?;
    let (_, domain) = instance.server_name.split_once('.')?;
    let properties = if recorded {
        json!({
            "azureDnsRecord": format!("{alias}.{domain}"),
            "publicAzureDnsRecord": format!("{alias}.public.{domain}"),
        })
    } else {
        json!({})
    };
    let id = format!("{}/dnsAliases/{alias}", shapes::instance_id(cloud, &instance.name));
    Some(json!({ "properties": properties, "id": id, "name": alias, "type": TYPE }))
}
