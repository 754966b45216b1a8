//! What can be asked of ARM: managed instances, their links, and the failover of a link.

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Door,
    errors::Problem,
    gate::{self, query},
    operations, shapes,
};
use crate::world::{ArmCommand, ArmError, FailoverType, InstanceKind, Reply};

/// A request's body is a few words; more than this is not read.
const BODY_LIMIT: usize = 64 << 10;

/// The segments of a path after the resource group, names as they were given.
enum Resource<'a> {
    Instance(&'a str),
    Links(&'a str),
    Link(&'a str, &'a str),
    Failover(&'a str, &'a str),
    Permissions,
    Poll(&'a str),
    Result(&'a str),
}

/// Answers a request that has passed the gate.
pub(super) async fn answer(State(door): State<Door>, request: Request<Body>) -> Response {
    match respond(&door, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn respond(door: &Door, request: Request<Body>) -> Result<Response, Problem> {
    let path = request.uri().path().to_owned();
    let resource = find(door, &path)?;
    match (request.method(), resource) {
        (&Method::GET, Resource::Instance(name)) => {
            let (_, body) = known_instance(door, name)?;
            Ok(Json(body).into_response())
        }
        (&Method::GET, Resource::Links(name)) => {
            let (name, _) = known_instance(door, name)?;
            let links = door.world.with(|world| world.arm_links(&name));
            let value: Vec<_> =
                links.iter().map(|link| shapes::link(&door.cloud, &name, link)).collect();
            Ok(Json(json!({ "value": value })).into_response())
        }
        (&Method::GET, Resource::Link(name, link)) => {
            let (name, _) = known_instance(door, name)?;
            let found = door.world.with(|world| world.arm_link(&name, link));
            let found = found.ok_or_else(|| Problem::from(ArmError::link_not_found(link)))?;
            Ok(Json(shapes::link(&door.cloud, &name, &found)).into_response())
        }
        (&Method::POST, Resource::Failover(name, link)) => {
            let (name, _) = known_instance(door, name)?;
            fail_over(door, &name, link, request).await
        }
        (&Method::GET, Resource::Permissions) => {
            let denied = door.world.with(|world| {
                let all = world.instances().flat_map(|found| found.setup().denied.clone());
                all.collect::<Vec<_>>()
            });
            Ok(Json(shapes::permissions(&denied)).into_response())
        }
        (&Method::GET, Resource::Poll(id)) => operations::poll(door, id, request.uri()),
        (&Method::GET, Resource::Result(id)) => operations::result(door, id, request.uri()),
        (
            method,
            Resource::Instance(_)
            | Resource::Links(_)
            | Resource::Link(..)
            | Resource::Failover(..)
            | Resource::Permissions
            | Resource::Poll(_)
            | Resource::Result(_),
        ) => {
            let message =
                format!("The requested resource does not support http method '{method}'.");
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Err(Problem::new(status, "UnsupportedHttpMethod", message))
        }
    }
}

/// Names of segments are compared without regard to case, as ARM does.
fn find<'a>(door: &Door, path: &'a str) -> Result<Resource<'a>, Problem> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is = |place: usize, name: &str| {
        segments.get(place).is_some_and(|segment| segment.eq_ignore_ascii_case(name))
    };
    if let Some(subscription) = segments.get(1).filter(|_| is(0, "subscriptions"))
        && !subscription.eq_ignore_ascii_case(&door.cloud.subscription)
    {
        let message = format!("The subscription '{subscription}' could not be found.");
        return Err(
            Problem::new(StatusCode::NOT_FOUND, "SubscriptionNotFound", message).by_gateway()
        );
    }
    let in_group = is(0, "subscriptions") && is(2, "resourceGroups");
    if let Some(group) = segments.get(3).filter(|_| in_group)
        && !group.eq_ignore_ascii_case(&door.cloud.resource_group)
    {
        let message = format!("Resource group '{group}' could not be found.");
        return Err(
            Problem::new(StatusCode::NOT_FOUND, "ResourceGroupNotFound", message).by_gateway()
        );
    }
    let authorization = is(4, "providers") && is(5, "Microsoft.Authorization");
    if in_group && authorization && is(6, "permissions") && segments.len() == 7 {
        return Ok(Resource::Permissions);
    }
    if in_group && is(4, "providers") && is(5, "Microsoft.Sql") {
        let links = is(8, "distributedAvailabilityGroups");
        match (segments.get(6..).unwrap_or_default(), links) {
            ([_, name], _) if is(6, "managedInstances") => return Ok(Resource::Instance(name)),
            ([_, name, _], true) => return Ok(Resource::Links(name)),
            ([_, name, _, link], true) => return Ok(Resource::Link(name, link)),
            ([_, name, _, link, _], true) if is(10, "failover") => {
                return Ok(Resource::Failover(name, link));
            }
            ([_, _, _, id], _) if is(8, "distributedAvailabilityGroupsAzureAsyncOperation") => {
                return Ok(Resource::Poll(id));
            }
            ([_, _, _, id], _) if is(8, "distributedAvailabilityGroupsOperationResults") => {
                return Ok(Resource::Result(id));
            }
            (_, true | false) => {}
        }
    }
    let message = format!("The resource type could not be found for the path '{path}'.");
    Err(Problem::new(StatusCode::NOT_FOUND, "InvalidResourceType", message).by_gateway())
}

fn known_instance(door: &Door, name: &str) -> Result<(String, serde_json::Value), Problem> {
    let body = door.world.with(|world| {
        let found = world.instances().find(|found| found.name.eq_ignore_ascii_case(name))?;
        match found.kind {
            InstanceKind::ManagedInstance { .. } => {
                Some((found.name.clone(), shapes::instance(&door.cloud, found)))
            }
            InstanceKind::SqlServer { .. } => None,
        }
    });
    body.ok_or_else(|| Problem::instance_not_found(name, &door.cloud.resource_group))
}

async fn fail_over(
    door: &Door,
    instance: &str,
    link: &str,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let version = query(request.uri(), "api-version").unwrap_or_default().to_owned();
    let body = to_bytes(request.into_body(), BODY_LIMIT).await.unwrap_or_default();
    let kind = failover_type(&body)?;
    let who = gate::origin(&headers, &gate::caller(door, &headers));
    let command =
        ArmCommand::Failover { instance: instance.to_owned(), link: link.to_owned(), kind };
    let (accepted, operation) = door.world.with(|world| {
        let accepted = world.arm(&who, command)?;
        let operation = world.operation(accepted.operation).cloned();
        Ok::<_, ArmError>((accepted, operation))
    })?;
    door.world.wake();
    let operation = operation.ok_or_else(|| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "no operation")
    })?;
    match accepted.reply {
        Reply::Lost => Ok(gate::never().await),
        Reply::Sent => {
            let urls = door.signer.urls(door, &operation, &version);
            let mut response =
                (StatusCode::ACCEPTED, Json(shapes::accepted(&operation))).into_response();
            let headers = response.headers_mut();
            for (name, url) in [("location", urls.result), ("azure-asyncoperation", urls.poll)] {
                if let Ok(url) = HeaderValue::from_str(&url) {
                    headers.insert(name, url);
                }
            }
            headers.insert(header::RETRY_AFTER, HeaderValue::from(door.cloud.retry_after_s));
            Ok(response)
        }
    }
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
