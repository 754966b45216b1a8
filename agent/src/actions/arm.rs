//! Orders to Azure Resource Manager, and what became of them.
//!
//! One request, never a second in the same try: a forced failover that is ordered over an instance which has become
//! primary meanwhile is accepted, and makes it a secondary again.

use std::time::Duration;

use agent_core::{
    Again, Method,
    deed::{Polled, Sent},
    reply::{self, Obstacle, OrderReply},
};
use probes::{
    ControlTarget,
    arm::{Accepted, ArmError, FailoverType, OperationState, Poll},
};
use serde::Deserialize;

use super::ControlPlace;

/// ARM takes an order within seconds; one that has no answer by then is settled by looking.
const POST_MOST: Duration = Duration::from_secs(30);
const POLL_MOST: Duration = Duration::from_secs(15);

/// An order as it was signed, and who can be given it.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    control: &'a ControlPlace,
    link: String,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Failover(FailoverType),
    Deletion,
}

/// Reads the signed path and body. They are not sent as they are but made anew by the client, so
/// they have to mean exactly what the client does.
pub(crate) fn order<'a>(
    mut controls: impl Iterator<Item = &'a ControlPlace>,
    method: Method,
    path: &str,
    body: &str,
) -> Result<Order<'a>, (String, Again)> {
    let (what, below) = match method {
        Method::Post => (What::Failover(failover(body)?), Some("failover")),
        Method::Delete if body.is_empty() => (What::Deletion, None),
        Method::Delete => return Err(("a deletion has no body".into(), Again::Never)),
    };
    controls
        .find_map(|control| {
            let link = link_of(path, below, &control.target)?;
            Some(Order { control, link, what })
        })
        .ok_or_else(|| {
            let why = format!("the configuration has no managed instance for the path {path}");
            (why, Again::NextRoute)
        })
}

fn failover(body: &str) -> Result<FailoverType, (String, Again)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Body {
        failover_type: String,
    }
    let body: Body = serde_json::from_str(body)
        .map_err(|error| (format!("the signed body can't be ordered: {error}"), Again::Never))?;
    match body.failover_type.as_str() {
        "ForcedAllowDataLoss" => Ok(FailoverType::ForcedAllowDataLoss),
        "Planned" => Ok(FailoverType::Planned),
        other => Err((format!("there is no failover of type {other}"), Again::Never)),
    }
}

/// The link that a path leads to, if it is one of this instance. Resource ids ignore case.
/// `below`: what stands behind the link itself.
fn link_of(path: &str, below: Option<&str>, target: &ControlTarget) -> Option<String> {
    let segments: Option<Vec<String>> = path.strip_prefix('/')?.split('/').map(plain).collect();
    let mut segments = segments?;
    if let Some(below) = below {
        segments.pop().filter(|last| last.eq_ignore_ascii_case(below))?;
    }
    let [head @ .., link] = segments.as_slice() else { return None };
    let expected = [
        "subscriptions",
        &target.subscription,
        "resourceGroups",
        &target.resource_group,
        "providers",
        "Microsoft.Sql",
        "managedInstances",
        &target.instance,
        "distributedAvailabilityGroups",
    ];
    let same = head.len() == expected.len()
        && head.iter().zip(expected).all(|(found, wanted)| found.eq_ignore_ascii_case(wanted));
    (same && !link.is_empty()).then(|| link.clone())
}

/// A segment of a path without its escapes; None if they are not UTF-8 or none at all.
fn plain(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2)?;
        bytes.extend_from_slice(&agent_core::from_hex(digits)?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

impl Order<'_> {
    /// Lets it go, once.
    pub(crate) async fn give(&self, limit: Duration) -> Sent {
        let limit = limit.min(POST_MOST);
        let client = &self.control.client;
        sent(match self.what {
            What::Failover(kind) => client.failover(&self.link, kind, limit).await,
            What::Deletion => client.delete_link(&self.link, limit).await,
        })
    }
}

/// Asks how an operation goes, if its address leads to a control plane of ours: the token is sent
/// along, and must not go anywhere else.
pub(crate) async fn poll<'a>(
    controls: impl Iterator<Item = &'a ControlPlace>,
    operation: &str,
) -> Polled {
    let mut why = String::from("the configuration has no managed instance with a control plane");
    for control in controls {
        match control.client.operation_url(operation) {
            Ok(url) => return polled(control.client.operation(&url, POLL_MOST).await),
            Err(error) => why = format!("the address of the operation is not asked: {error}"),
        }
    }
    Polled::Blind { why }
}

fn sent(answer: Result<Accepted, ArmError>) -> Sent {
    reply::order(match answer {
        Ok(accepted) => {
            let correlation = accepted.correlation.as_deref().unwrap_or("none");
            tracing::info!(correlation, "Azure Resource Manager has accepted the order");
            let operation = accepted.operation.map(|url| url.as_str().to_owned());
            OrderReply::Accepted { operation }
        }
        Err(error) if error.unknown() => OrderReply::Open { why: error.to_string() },
        Err(error) => OrderReply::Refused { by: obstacle(&error), why: error.to_string() },
    })
}

fn obstacle(error: &ArmError) -> Obstacle {
    match error {
        ArmError::Forbidden { .. } => Obstacle::Forbidden,
        ArmError::Unauthorized { .. } => Obstacle::Unauthorized,
        ArmError::NotFound { gateway: true, .. } => Obstacle::NoInstance,
        ArmError::NotFound { gateway: false, .. } => Obstacle::NoLink,
        ArmError::Conflict { .. } => Obstacle::Conflict,
        ArmError::Throttled { .. } => Obstacle::Throttled,
        ArmError::Rejected { code, .. } if code == Obstacle::ROLE => Obstacle::Role,
        ArmError::Rejected { .. } => Obstacle::Rejected,
        ArmError::Credential(_)
        | ArmError::Tls { .. }
        | ArmError::TimedOut { .. }
        | ArmError::Io { .. }
        | ArmError::Unavailable { .. }
        | ArmError::Garbled { .. } => Obstacle::Way,
    }
}

fn polled(answer: Result<Poll, ArmError>) -> Polled {
    match answer {
        Ok(Poll { state, retry_after }) => match state {
            OperationState::Running { .. } => Polled::Running { again_in: retry_after },
            OperationState::Succeeded => Polled::Succeeded,
            OperationState::Failed { code, message } => {
                Polled::Failed { why: format!("the operation failed with {code}: {message}") }
            }
            OperationState::Canceled => Polled::Failed { why: "the operation was canceled".into() },
        },
        Err(ArmError::Throttled { retry_after }) => Polled::Running { again_in: retry_after },
        Err(error) => Polled::Blind { why: format!("the operation can't be seen: {error}") },
    }
}

#[cfg(test)]
#[path = "arm_tests.rs"]
mod tests;
