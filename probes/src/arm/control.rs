//! One look at the control plane, for all links of a managed instance at once.

use std::{sync::Arc, time::Duration};

use agent_core::{ControlReading, LinkId, Seen, Vantage};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::{
    body::{Instance, Link},
    client::ArmClient,
    error::ArmError,
};
use crate::{target::LinkTarget, text::plain, watch::Look};

/// Links that are asked for at the same time.
const AT_ONCE: usize = 8;

/// The eye on the control plane of one managed instance.
#[derive(Debug)]
pub struct ControlLook {
    client: Arc<ArmClient>,
    links: Vec<LinkTarget>,
}

impl ControlLook {
    #[must_use]
    pub fn new(client: Arc<ArmClient>, links: Vec<LinkTarget>) -> Self {
        Self { client, links }
    }

    async fn all(&self, limit: Duration) -> Vec<(LinkId, Seen)> {
        let instance = match self.client.instance(limit).await {
            Ok(instance) => instance,
            Err(error) => return self.silent(&error),
        };
        let looks: Vec<_> =
            self.links.iter().map(|target| one(&self.client, &instance, target, limit)).collect();
        stream::iter(looks).buffered(AT_ONCE).collect().await
    }

    fn silent(&self, error: &ArmError) -> Vec<(LinkId, Seen)> {
        let silence = error.silence();
        self.links
            .iter()
            .map(|target| (target.link.clone(), Seen::Silence(silence.clone())))
            .collect()
    }
}

impl Look for ControlLook {
    fn vantage(&self) -> Vantage {
        Vantage::ControlPlane
    }

    async fn look(&mut self, limit: Duration) -> Vec<(LinkId, Seen)> {
        match timeout(limit, self.all(limit)).await {
            Ok(seen) => seen,
            Err(_) => self.silent(&ArmError::TimedOut { sent: true }),
        }
    }
}

async fn one(
    client: &ArmClient,
    instance: &Instance,
    target: &LinkTarget,
    limit: Duration,
) -> (LinkId, Seen) {
    let seen = match client.link(&target.dag, limit).await {
        Ok(link) => reading(instance, link.as_ref(), &target.database),
        Err(error) => Err(error),
    };
    let seen = match seen {
        Ok(reading) => Seen::Control(reading),
        Err(error) => Seen::Silence(error.silence()),
    };
    (target.link.clone(), seen)
}

fn reading(
    instance: &Instance,
    link: Option<&Link>,
    database: &str,
) -> Result<ControlReading, ArmError> {
    let missing = |property| ArmError::garbled(format!("an instance without `{property}`"));
    let properties = &instance.properties;
    Ok(ControlReading {
        instance_state: plain(properties.state.as_deref().ok_or_else(|| missing("state"))?),
        database_format: plain(
            properties.database_format.as_deref().ok_or_else(|| missing("databaseFormat"))?,
        ),
        link: link.map(|link| link.reading(database)).transpose()?,
    })
}
