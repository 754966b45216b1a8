//! Azure Resource Manager: looking at instance and links, and the requests that actions borrow.

mod body;
mod client;
mod control;
mod credential;
mod error;
mod operation;
mod permissions;

pub use body::{
    CertificateValidity, Instance, InstanceProperties, Link, LinkDatabase, LinkProperties,
};
pub use client::{Accepted, ArmClient, ArmSetupError, FailoverType, Http, http_client};
pub use control::ControlLook;
pub(crate) use credential::Kept;
pub use credential::{
    ARM_SCOPE, ArcEndpoint, CredentialError, CredentialSource, KeptCredential, check_certificate,
};
pub use error::ArmError;
pub use operation::{OperationState, OperationUrl, OperationUrlError, Poll};
pub use permissions::Permissions;
