//! Azure Resource Manager for the managed instances of a world, with its token service and a
//! managed identity endpoint.
//!
//! Shapes, headers and errors follow the recordings in `reference/arm` and sections 2 and 12 of the
//! addendum. [`gate`] is the way in (network, throttling, tokens, versions), [`address`] says what a
//! path names, [`access`] who may, [`resources`] who answers; [`operations`] is what takes time,
//! [`tokens`] and [`token_service`] are Entra.

mod access;
mod address;
mod aliases;
mod assertion;

mod errors;
mod gate;
mod instances;
mod links;
mod machine;
mod neighbours;
mod operations;
mod resources;
mod shapes;
mod token_service;
mod tokens;
mod trouble;

#[cfg(test)]
mod tests;

pub(crate) use gate::new_guid;
pub(crate) use tokens::{Claims, TokenKey, Unfit};

use std::{path::PathBuf, sync::Arc};

use axum::{Router, middleware, routing::get};

use self::operations::Signer;
use crate::serve::SharedWorld;

/// Names and secrets of the control plane; throw-away ones are made at start.
#[derive(Clone)]
pub struct Cloud {
    /// The tenant's id.
    pub tenant: String,
    /// The application (client) id that may ask for tokens.
    pub client_id: String,
    /// The client id of the machine that Azure Arc connects.
    pub machine_id: String,
    /// The folder for the challenges of that machine's agent; it has to exist.
    pub machine_folder: PathBuf,
    /// What a caller of the managed identity endpoint must show in `X-IDENTITY-HEADER`.
    pub identity_header: String,
    /// The subscription's id.
    pub subscription: String,
    /// The resource group that holds the managed instances.
    pub resource_group: String,
    /// The region.
    pub location: String,
    /// `https://host:port` of ARM.
    pub base_url: String,
    /// `https://host:port` of the token service.
    pub authority: String,
    /// The certificate in the signed URLs, DER.
    pub certificate: Vec<u8>,
    /// `Retry-After` of long-running operations, in s of the caller.
    pub retry_after_s: u32,
}

#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) world: SharedWorld,
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) tokens: TokenKey,
    pub(crate) signer: Signer,
    pub(crate) machine: machine::Challenges,
}

/// The services, ready to be bound to their ports.
pub struct Services {
    /// ARM.
    pub control_plane: Router,
    /// OAuth2 and its metadata.
    pub token_service: Router,
    /// Managed identity, in the flavours of App Service and of a virtual machine.
    pub managed_identity: Router,
    /// The agent of a machine that Azure Arc connects.
    pub machine: Router,
}

/// Builds the services for a world.
#[must_use]
pub fn services(world: SharedWorld, cloud: Cloud) -> Services {
    let door = Door {
        tokens: world.with(|world| TokenKey::of(world.directory())),
        machine: machine::Challenges::default(),
        signer: Signer::random(&cloud.certificate),
        cloud: Arc::new(cloud),
        world,
    };
    let arm = middleware::from_fn_with_state(door.clone(), gate::control_plane);
    let tokens = middleware::from_fn_with_state(door.clone(), gate::token_service);
    let identity = Router::new()
        .route("/msi/token", get(token_service::managed_identity))
        .route(machine::PATH, get(machine::virtual_machine))
        .layer(tokens.clone());
    let machine = Router::new().route(machine::PATH, get(machine::connected)).layer(tokens.clone());
    Services {
        control_plane: Router::new()
            .fallback(resources::answer)
            .layer(arm)
            .with_state(door.clone()),
        token_service: token_service::router().layer(tokens).with_state(door.clone()),
        managed_identity: identity.with_state(door.clone()),
        machine: machine.with_state(door),
    }
}
