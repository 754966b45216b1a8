//! The ways that there are, by what is known of a link: who takes them, what stands in them, and how
//! one comes back afterwards.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::Serialize;

use super::engine::{Engine, Format};
use crate::{health::Health, names::Side};

/// What decides about ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub engine: Option<Engine>,
    pub format: Option<Format>,
    /// The side that is primary, or was when one was last seen.
    pub primary: Option<Side>,
    /// `failoverMode` of the link is None: its roles never change.
    pub one_way: bool,
    /// Databases of the link beside the one that is looked after.
    pub others: Vec<String>,
    /// State of the managed instance by Azure Resource Manager, if it is not Ready.
    pub not_ready: Option<String>,
    /// Why a side's copy could not be primary: SQL Server's, then the managed instance's.
    pub unfit: [Option<String>; 2],
    /// Sides for which there is no place to save what only they have.
    pub unsaved: Vec<Side>,
    /// SQL Server has not told what the two groups of the link are called.
    pub unnamed: bool,
    /// How many replicas SQL Server was found to have; 0 where it is one server.
    pub replicas: usize,
    /// No Azure Resource Manager is configured for the managed instance.
    pub no_control: bool,
}

/// Something that can be done about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Roles change with nothing lost, and the link stays.
    Planned,
    /// The secondary becomes primary without asking the other side.
    Forced,
    /// The link is given up once both sides have the same: the copy in Azure goes on by itself.
    Cutover,
    /// The link is deleted without the source: the copy in Azure goes on with what it has.
    Delete,
    /// One of two primaries becomes the secondary of the other.
    Repair,
    /// The link is dropped so that the primary's log can be truncated.
    GiveUp,
    /// A link is made, and its secondary seeded.
    Establish,
}

/// How one comes back afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Back {
    OverTheLink,
    /// Once the old primary has been made a secondary.
    AfterRepair,
    /// Once SQL Server has been patched to the build that can.
    AfterPatch,
    /// By a COPY_ONLY backup of the managed instance.
    ByRestore,
    /// By bacpac or replication: no backup and no link leads there.
    ByExport,
    /// A new link, with seeding.
    ByNewLink,
    Unknown,
}

/// Who takes a way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "offered")]
pub enum Offer {
    /// The agent has a plan for it.
    Plan,
    /// People, by this part of the runbook.
    People { part: u8 },
    /// Nobody, and why.
    Refused { because: String },
}

/// One way, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    pub over: Over,
    /// The side that is primary afterwards.
    pub target: Side,
    #[serde(flatten)]
    pub offer: Offer,
    pub back: Back,
}

/// The ways out of a health, the best one first. None are known as long as nothing is.
#[must_use]
pub fn ways(facts: &Facts, health: Health) -> Vec<Way> {
    let Some(primary) = facts.primary else { return Vec::new() };
    let target = primary.other();
    let mut ways = Vec::new();
    match health {
        Health::Unknown => {}
        Health::Healthy => {
            ways.push(facts.planned(target));
            ways.extend((target == Side::ManagedInstance).then(|| facts.cutover()));
        }
        Health::PrimaryDown | Health::PrimaryUnreachable | Health::NoPrimary => {
            ways.push(facts.forced(target));
            ways.extend((target == Side::ManagedInstance).then(|| facts.delete()));
        }
        Health::Degraded => ways.push(facts.give_up(primary)),
        Health::SplitBrain => {
            ways.extend(Side::BOTH.map(|winner| facts.repair(winner)));
            ways.push(facts.give_up(primary));
        }
        // Which side is to go on is for people to say, and a new link takes all from the other one.
        Health::Parted => {}
        Health::Unlinked => ways.push(facts.establish(primary)),
    }
    ways
}

impl Facts {
    /// Why a planned failover can't be made.
    pub(super) fn against_planned(&self, target: Side) -> Option<String> {
        self.never(target)
            .or_else(|| self.unreadable(target))
            .or_else(|| self.unfit(target))
            .or_else(|| self.azure(target))
    }

    /// Why a forced failover can't be made.
    pub(super) fn against_forced(&self, target: Side) -> Option<String> {
        self.never(target).or_else(|| self.unfit(target)).or_else(|| self.azure(target))
    }

    /// Why nobody can give up the link for the copy in Azure.
    fn against_cutting(&self) -> Option<String> {
        let target = Side::ManagedInstance;
        let against = self.engine.and_then(Engine::without_link).or_else(|| self.unfed(target));
        against.or_else(|| self.unfit(target)).or_else(|| self.azure(target))
    }

    /// Why the managed instance can't go on by itself.
    fn against_going_on(&self) -> Option<String> {
        self.unfit(Side::ManagedInstance).or_else(|| self.azure(Side::ManagedInstance))
    }

    /// Why the agent can't delete the link of a primary that is gone.
    pub(super) fn against_deletion(&self) -> Option<String> {
        self.against_going_on().or_else(|| self.no_control.then(nobody_deletes))
    }

    /// Whether its roles can't be changed whatever is done about it.
    pub(super) fn never_fails_over(&self) -> bool {
        self.one_way || self.engine.is_some_and(|engine| !engine.both_ways())
    }

    /// Why the agent can't.
    pub(super) fn against_cutover(&self) -> Option<String> {
        let of_agent = || {
            if self.no_control {
                return Some(nobody_deletes());
            }
            if self.replicas > 0 {
                return Some(format!(
                    "SQL Server is {} replicas, and no plan of this version ends a group of several: part 9 of the runbook",
                    self.replicas
                ));
            }
            self.unnamed.then(|| {
                "SQL Server has not told what the two groups of the link are called".to_string()
            })
        };
        self.against_cutting().or_else(of_agent)
    }

    /// Why the other side can't become the secondary of `winner`: it receives its log from then on.
    pub(super) fn against_repair(&self, winner: Side) -> Option<String> {
        let loser = winner.other();
        self.never(loser)
            .or_else(|| self.unreadable(loser))
            .or_else(|| self.several())
            .or_else(|| self.unsaved.contains(&loser).then(|| no_place(loser)))
    }

    /// What no waiting mends: versions, formats and one-way links do not change by themselves.
    pub(super) fn never(&self, target: Side) -> Option<String> {
        let engine = self.engine.and_then(|engine| {
            engine.without_link().or_else(|| {
                if !engine.both_ways() {
                    return Some(format!(
                        "{engine} can't change roles over a link, only give it up: failover of a link begins with 2022 CU13 (16.0.4125.3)"
                    ));
                }
                (!engine.hands_over()).then(|| {
                    format!(
                        "{engine} is older than 2022 CU13 (16.0.4125.3), with which failover of a link by T-SQL begins; patch to CU13 or use the wizard"
                    )
                })
            })
        });
        let one_way = || {
            self.one_way.then(|| {
                "this is a one-way link (failoverMode None): it can't be failed over, only deleted (41985)"
                    .to_string()
            })
        };
        engine.or_else(one_way).or_else(|| self.unfed(target))
    }

    /// The managed instance writes a log that SQL Server can't read.
    pub(super) fn unreadable(&self, target: Side) -> Option<String> {
        (target == Side::SqlServer && self.readable() == Some(false)).then(|| {
            "the update policy of the managed instance is newer than this SQL Server: its log can't be taken there"
                .to_string()
        })
    }

    /// Whether SQL Server takes what the managed instance writes; None if that is not known.
    pub(super) fn readable(&self) -> Option<bool> {
        Some(self.engine?.takes(self.format.as_ref()?))
    }

    /// How one comes back from the managed instance, if the link is kept or not.
    pub(super) fn back_from_azure(&self, kept: bool) -> Back {
        let (Some(engine), Some(format)) = (self.engine, &self.format) else {
            return match self.engine {
                Some(engine) if !engine.both_ways() => Back::ByExport,
                Some(_) | None => Back::Unknown,
            };
        };
        match (engine.takes(format), kept) {
            (false, _) => Back::ByExport,
            (true, true) if engine.hands_over() => Back::OverTheLink,
            (true, true) => Back::AfterPatch,
            (true, false) => Back::ByRestore,
        }
    }

    fn unfed(&self, target: Side) -> Option<String> {
        let (engine, format) = (self.engine?, self.format.as_ref()?);
        (target == Side::ManagedInstance && !engine.feeds(format)).then(|| {
            format!(
                "{engine} has no link to a managed instance of update policy {format}, which is older"
            )
        })
    }

    fn unfit(&self, target: Side) -> Option<String> {
        match target {
            Side::SqlServer => self.unfit[0].clone(),
            Side::ManagedInstance => self.unfit[1].clone(),
        }
    }

    /// What the control plane has against it. An instance that is being left may be in any state.
    fn azure(&self, target: Side) -> Option<String> {
        if target == Side::ManagedInstance
            && let Some(state) = &self.not_ready
        {
            return Some(format!(
                "the managed instance is {state} by Azure Resource Manager, not Ready"
            ));
        }
        self.several()
    }

    fn several(&self) -> Option<String> {
        (!self.others.is_empty()).then(|| {
            format!(
                "the link carries {} too: a change of roles takes every database of a group, and no plan of this version looks after more than one",
                self.others.join(", ")
            )
        })
    }

    fn planned(&self, target: Side) -> Way {
        let back = match target {
            Side::SqlServer => Back::OverTheLink,
            Side::ManagedInstance => self.back_from_azure(true),
        };
        Way { over: Over::Planned, target, offer: plan(self.against_planned(target)), back }
    }

    fn forced(&self, target: Side) -> Way {
        let back = match target {
            Side::SqlServer => Back::AfterRepair,
            Side::ManagedInstance if self.back_from_azure(true) == Back::OverTheLink => {
                Back::AfterRepair
            }
            Side::ManagedInstance => self.back_from_azure(true),
        };
        Way { over: Over::Forced, target, offer: plan(self.against_forced(target)), back }
    }

    fn cutover(&self) -> Way {
        let target = Side::ManagedInstance;
        // The agent has no plan where SQL Server is several replicas, and people have a way.
        let offer = match (self.against_cutting(), self.against_cutover()) {
            (Some(because), _) => Offer::Refused { because },
            (None, Some(_)) => Offer::People { part: 9 },
            (None, None) => Offer::Plan,
        };
        let back = self.back_from_azure(false);
        Way { over: Over::Cutover, target, offer, back }
    }

    fn delete(&self) -> Way {
        let target = Side::ManagedInstance;
        let offer = match (self.against_going_on(), self.against_deletion()) {
            (Some(because), _) => Offer::Refused { because },
            (None, Some(_)) => Offer::People { part: 9 },
            (None, None) => Offer::Plan,
        };
        let back = self.back_from_azure(false);
        Way { over: Over::Delete, target, offer, back }
    }

    fn repair(&self, winner: Side) -> Way {
        let back = match winner {
            Side::SqlServer => Back::OverTheLink,
            Side::ManagedInstance => self.back_from_azure(true),
        };
        Way { over: Over::Repair, target: winner, offer: plan(self.against_repair(winner)), back }
    }

    fn give_up(&self, primary: Side) -> Way {
        let back = match primary {
            Side::SqlServer => Back::ByNewLink,
            Side::ManagedInstance => self.back_from_azure(false),
        };
        Way { over: Over::GiveUp, target: primary, offer: people(9, None), back }
    }

    fn establish(&self, primary: Side) -> Way {
        let against = self.engine.and_then(|engine| match primary {
            Side::SqlServer => engine.without_link(),
            Side::ManagedInstance => (!engine.linked_from_azure()).then(|| {
                format!("{engine} takes no link from a managed instance: that begins with 2022 CU10 (16.0.4095.4)")
            }),
        });
        let against = against
            .or_else(|| self.unfed(primary.other()))
            .or_else(|| self.unreadable(primary.other()));
        let back = match primary {
            Side::SqlServer => self.back_from_azure(true),
            Side::ManagedInstance => Back::OverTheLink,
        };
        Way { over: Over::Establish, target: primary, offer: people(0, against), back }
    }
}

fn nobody_deletes() -> String {
    "only Azure Resource Manager deletes a link, and none is configured for the managed instance"
        .to_string()
}

/// Why nothing is taken from a side.
fn no_place(loser: Side) -> String {
    let key = match loser {
        Side::SqlServer => "save",
        Side::ManagedInstance => "save_azure",
    };
    format!(
        "what only {loser} has would be gone, and there is no place to save it: configure `links.repair.{key}`, or go by part 7 of the runbook"
    )
}

fn plan(against: Option<String>) -> Offer {
    against.map_or(Offer::Plan, |because| Offer::Refused { because })
}

fn people(part: u8, against: Option<String>) -> Offer {
    against.map_or(Offer::People { part }, |because| Offer::Refused { because })
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { over, target, offer, back } = self;
        match over {
            Over::Planned => write!(f, "planned failover to {target}")?,
            Over::Forced => write!(f, "forced failover to {target}")?,
            Over::Cutover => write!(f, "cutover to {target}, which ends the link")?,
            Over::Delete => write!(f, "deletion of the link, after which {target} goes on alone")?,
            Over::Repair => write!(f, "repair that keeps what {target} has")?,
            Over::GiveUp => write!(f, "giving up the link, so that {target} can truncate its log")?,
            Over::Establish => write!(f, "a new link from {target}")?,
        }
        match offer {
            Offer::Plan => f.write_str(": by a plan of the agent")?,
            Offer::People { part: 0 } => f.write_str(": by people")?,
            Offer::People { part } => write!(f, ": by people, part {part} of the runbook")?,
            Offer::Refused { because } => return write!(f, ": NOT POSSIBLE: {because}"),
        }
        match (over, back) {
            (Over::Establish, back) => write!(f, "; a way back after a failover: {back}"),
            (Over::GiveUp, back) => write!(f, "; to the other side again: {back}"),
            (_, back) => write!(f, "; way back: {back}"),
        }
    }
}

impl fmt::Display for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OverTheLink => "over the link",
            Self::AfterRepair => "over the link, once the old primary is a secondary",
            Self::AfterPatch => {
                "over the link, once SQL Server is patched to 2022 CU13 (16.0.4125.3)"
            }
            Self::ByRestore => "only by restoring a COPY_ONLY backup of the managed instance",
            Self::ByExport => "ONLY BY EXPORT (bacpac, replication)",
            Self::ByNewLink => "by a new link and its seeding",
            Self::Unknown => "not known, for the version or the update policy was not seen",
        })
    }
}
