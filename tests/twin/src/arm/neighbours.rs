//! What other providers answer: the cloud's metadata, the subscription, resource health.

use axum::{
    Json,
    http::Method,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Door,
    errors::Problem,
    gate::written,
    resources::{Asked, not_supported, with_instance},
    shapes,
};

/// `/metadata/endpoints`: where the other services of this cloud are. In which versions it is one
/// cloud and in which a list of clouds is not confirmed.
pub(super) fn metadata(door: &Door, asked: &Asked) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let cloud = &door.cloud;
    let audiences = ["https://management.core.windows.net/", "https://management.azure.com/"];
    if asked.version() == "2015-01-01" {
        let body = json!({
            "galleryEndpoint": "https://gallery.azure.com",
            "graphEndpoint": "https://graph.windows.net",
            "portalEndpoint": "https://portal.azure.com",
            "authentication": { "loginEndpoint": cloud.authority, "audiences": audiences },
        });
        return Ok(Json(body).into_response());
    }
    let one = json!({
        "name": "AzureCloud",
        "portal": "https://portal.azure.com",
        "resourceManager": cloud.base_url,
        "authentication": {
            "loginEndpoint": cloud.authority,
            "audiences": audiences,
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graph": "https://graph.windows.net/",
        "graphAudience": "https://graph.windows.net/",
        "suffixes": { "sqlServerHostname": "database.windows.net" },
    });
    let list = matches!(asked.version(), "2019-05-01" | "2020-06-01");
    Ok(Json(if list { json!([one]) } else { one }).into_response())
}

/// The subscription.
pub(super) fn subscription(door: &Door, asked: &Asked) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let cloud = &door.cloud;
    let body = json!({
        "id": format!("/subscriptions/{}", cloud.subscription),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": cloud.subscription,
        "tenantId": cloud.tenant,
        "displayName": "twin",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "EnterpriseAgreement_2014-09-01",
            "spendingLimit": "Off",
        },
    });
    Ok(Json(body).into_response())
}

/// Resource health (mi-link 6.5): a hint, which can be made to lie.
pub(super) fn health(
    door: &Door,
    asked: &Asked,
    instance: &str,
    current: bool,
) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let (name, word) = with_instance(door, instance, |world, found| {
        world.resource_health(&found.name).unwrap_or_else(|| "Unknown".to_owned())
    })?;
    let now = door.world.now();
    let said = match word.as_str() {
        "Available" => "There aren't any known problems affecting this resource.",
        "Unknown" => "We are currently unable to determine the health of this resource.",
        _ => "We're sorry, this resource isn't healthy.",
    };
    let mut properties = json!({
        "availabilityState": word,
        "title": word,
        "summary": said,
        "reasonType": "",
        "category": "Not Applicable",
        "context": "Not Applicable",
        "occuredTime": written(now),
        "reasonChronicity": "Persistent",
        "reportedTime": written(now),
    });
    if word == "Unavailable" || word == "Degraded" {
        properties["reasonType"] = json!("Unplanned");
        properties["category"] = json!("Unplanned");
        properties["context"] = json!("Platform Initiated");
    }
    let id = format!(
        "{}/providers/Microsoft.ResourceHealth/availabilityStatuses/current",
        shapes::instance_id(&door.cloud, &name)
    );
    let one = json!({
        "id": id,
        "name": "current",
        "type": "Microsoft.ResourceHealth/AvailabilityStatuses",
        "location": door.cloud.location,
        "properties": properties,
    });
    let body: Value = if current { one } else { json!({ "value": [one] }) };
    Ok(Json(body).into_response())
}
