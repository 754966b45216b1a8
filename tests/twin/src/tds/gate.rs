//! Whether bytes pass between a client and this instance now.
//!
//! A cut path loses packets, and TCP sends them again until it heals: so what cannot pass waits
//! here, for as long as the connection is open. A path that refuses closes the connection.

use std::io;

use crate::serve::SharedWorld;
use crate::world::{Party, Reach};

/// The path between one client and one instance.
pub(super) struct Gate {
    world: SharedWorld,
    client: Party,
    server: Party,
}

impl Gate {
    pub(super) fn new(world: SharedWorld, client: Party, instance: &str) -> Gate {
        Gate { world, client, server: Party::Instance(instance.to_owned()) }
    }

    /// Waits until what the client has sent arrives, which is so many bytes long.
    pub(super) async fn inbound(&self, bytes: usize) -> io::Result<()> {
        self.pass(&self.client, &self.server, bytes).await
    }

    /// Waits until what the server sends is on its way and has arrived.
    pub(super) async fn outbound(&self, bytes: usize) -> io::Result<()> {
        self.pass(&self.server, &self.client, bytes).await
    }

    async fn pass(&self, from: &Party, to: &Party, bytes: usize) -> io::Result<()> {
        let way = self.world.with(|world| world.carry(from, to, bytes));
        if way.is_positive() {
            self.world.sleep(way).await;
        }
        let mut ticks = self.world.ticks();
        loop {
            match self.world.reachable(from, to) {
                Reach::Open { delay } if delay.is_zero() => return Ok(()),
                Reach::Open { delay } => {
                    self.world.sleep(delay).await;
                    // The path may have been cut while it was under way.
                    if let Reach::Open { .. } = self.world.reachable(from, to) {
                        return Ok(());
                    }
                }
                Reach::Refused => return Err(io::ErrorKind::ConnectionReset.into()),
                Reach::Silent => {
                    if ticks.changed().await.is_err() {
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                }
            }
        }
    }
}

/// Waits while the instance is hung or frozen; an error if it is gone.
pub(super) async fn awake(world: &SharedWorld, instance: &str) -> io::Result<()> {
    let mut ticks = world.ticks();
    loop {
        let state = world.with(|w| w.instance(instance).map(|i| (i.is_up(), i.listens())));
        match state {
            Some((true, true)) => return Ok(()),
            Some((false, true)) => {
                if ticks.changed().await.is_err() {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
            Some((_, false)) | None => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}
