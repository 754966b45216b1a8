//! What can be asked of ARM: who answers for which path and method.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::State,
    http::{HeaderMap, Method, Request, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    Door, access, address::Address, aliases, errors::Problem, gate::query, instances, links,
    neighbours, operations,
};
use crate::world::{Instance, InstanceKind, World};

/// A request's body is a few words, or a certificate; more than this is not read.
const BODY_LIMIT: usize = 64 << 10;

/// A request that has passed the gate.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) uri: axum::http::Uri,
    pub(super) body: Bytes,
}

/// Answers a request that has passed the gate.
pub(super) async fn answer(State(door): State<Door>, request: Request<Body>) -> Response {
    match respond(&door, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

impl Asked {
    /// Its api-version, which the gate has checked.
    pub(super) fn version(&self) -> &str {
        query(&self.uri, "api-version").unwrap_or_default()
    }
}

/// The name of a managed instance as the world has it, and what `f` makes of it.
pub(super) fn with_instance<R>(
    door: &Door,
    name: &str,
    f: impl FnOnce(&World, &Instance) -> R,
) -> Result<(String, R), Problem> {
    let found = door.world.with(|world| {
        let found = world.instances().find(|found| found.name.eq_ignore_ascii_case(name))?;
        match found.kind {
            InstanceKind::ManagedInstance { .. } => Some((found.name.clone(), f(world, found))),
            InstanceKind::SqlServer { .. } => None,
        }
    });
    found.ok_or_else(|| Problem::instance_not_found(name, &door.cloud.resource_group))
}

/// The same without wanting to know anything of it.
pub(super) fn known(door: &Door, name: &str) -> Result<String, Problem> {
    Ok(with_instance(door, name, |_, _| ())?.0)
}

pub(super) fn not_supported(method: &Method) -> Problem {
    let message = format!("The requested resource does not support http method '{method}'.");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedHttpMethod", message)
}

async fn respond(door: &Door, request: Request<Body>) -> Result<Response, Problem> {
    let address = Address::find(&door.cloud, request.uri().path())?;
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    let asked = Asked { method: parts.method, headers: parts.headers, uri: parts.uri, body };
    access::check(door, &address, &asked)?;
    match address {
        Address::Metadata => neighbours::metadata(door, &asked),
        Address::Subscription => neighbours::subscription(door, &asked),
        Address::Permissions(instance) => access::permissions(door, &asked, instance.as_deref()),
        Address::Health { instance, current } => {
            neighbours::health(door, &asked, &instance, current)
        }
        Address::Instance(name) => instances::instance(door, &asked, &name).await,
        Address::Databases(name) => instances::databases(door, &asked, &name),
        Address::Database(name, database) => {
            instances::database(door, &asked, &name, &database).await
        }
        Address::TrustCertificates(name) => instances::trusted(door, &asked, &name),
        Address::TrustCertificate(name, certificate) => {
            instances::trust(door, &asked, &name, &certificate).await
        }
        Address::EndpointCertificates(name) => instances::endpoints(door, &asked, &name),
        Address::EndpointCertificate(name, kind) => instances::endpoint(door, &asked, &name, &kind),
        Address::Aliases(name) => aliases::list(door, &asked, &name),
        Address::Alias(name, alias) => aliases::one(door, &asked, &name, &alias).await,
        Address::Acquire(name, alias) => aliases::acquire(door, &asked, &name, &alias).await,
        Address::Operations(name) => operations::list(door, &asked, &name),
        Address::Operation(name, id) => operations::one(door, &asked, &name, &id),
        Address::Cancel(name, id) => operations::cancel(door, &asked, &name, &id),
        Address::Links(name) => links::list(door, &asked, &name),
        Address::Link(name, link) => links::one(door, &asked, &name, &link).await,
        Address::Failover(name, link) => links::fail_over(door, &asked, &name, &link).await,
        Address::SetRole(name, link) => links::set_role(door, &asked, &name, &link).await,
        Address::Poll(family, id) => operations::poll(door, &asked, family, &id),
        Address::Result(family, id) => operations::result(door, &asked, family, &id),
    }
}
