//! Every trap of a link that a DBA falls into, as the two servers and Azure set it. No agent is
//! here: only statements and requests, and what comes of them.

mod aftermath;
mod apart;
mod azure;
mod backups;
mod client;
mod disks;
mod failover;
mod groups;
mod log;
mod seeding;
mod shut;
mod site;
mod versions;
mod views;
