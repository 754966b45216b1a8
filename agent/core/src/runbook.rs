//! The paper runbook: what people do by hand if the database of a link has to move and the agent can't
//! move it. For tonight's topology and roles, with every statement in full, to be used where nothing
//! but paper is left.
//!
//! The statements that move anything are those of the plans themselves, so that the paper can't say
//! something else than the agent does. What was seen once and can't be known to hold any more (lag,
//! log positions, the expected loss) is not on it: the statements that ask for it are. So two pages of
//! the same journal and configuration differ in one line, the one that says how old they are.
//!
//! It is Markdown that reads as plain text, 78 columns wide; statements and that one line are never
//! broken.

mod after;
mod azure;
mod errors;
mod fence;
mod give_up;
mod head;
mod over;
mod page;
mod queries;

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use jiff::Timestamp;

use self::page::Page;
use crate::{
    estate::Estate,
    evidence::Evidence,
    link::Record,
    names::{InstanceId, LinkId, Seq, Side},
    policy::LinkSpec,
};

/// Where people get in, as the configuration has it. No secret is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Name and version of the agent.
    pub agent: String,
    pub version: String,
    pub doors: BTreeMap<InstanceId, Door>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// What a client takes as its server, such as `tcp:sql-1.example.com,1433`.
    pub server: String,
    /// Each replica of the availability group that the side is of its own; empty where it is none.
    pub replicas: Vec<String>,
    /// None: Azure Resource Manager is not configured for it.
    pub azure: Option<AzureDoor>,
}

/// A managed instance in Azure Resource Manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureDoor {
    pub base_url: String,
    pub api_version: String,
    pub subscription: String,
    pub resource_group: String,
    pub instance: String,
}

/// What the page of one link is made from: a copy of what is known, so that whoever holds the estate
/// does not wait until it is written.
#[derive(Clone, Debug)]
pub struct Sheet {
    spec: LinkSpec,
    record: Record,
    evidence: Evidence,
    last_seq: Seq,
    now: Timestamp,
}

impl Sheet {
    /// What is known of a link; None if the configuration has none of that name.
    #[must_use]
    pub fn of(estate: &Estate, link: &LinkId, now: Timestamp) -> Option<Self> {
        let (_, spec, record) = estate.links().find(|(id, _, _)| *id == link)?;
        let evidence = estate.evidence().find(|(id, _)| *id == link);
        Some(Self {
            spec: spec?.clone(),
            record: record.clone(),
            evidence: evidence.map(|(_, evidence)| evidence.clone()).unwrap_or_default(),
            last_seq: estate.last_seq(),
            now,
        })
    }

    #[must_use]
    pub fn link(&self) -> &LinkId {
        &self.spec.id
    }

    /// The page, as Markdown.
    #[must_use]
    pub fn page(&self, places: &Places) -> String {
        let mut writer = Writer { sheet: self, places, page: Page::default() };
        writer.head();
        writer.what_is_where();
        writer.look_first();
        let primary = self.record.primary.unwrap_or(Side::SqlServer);
        for (first, from) in [(3, primary), (5, primary.other())] {
            writer.planned(first, from);
            writer.forced(first + 1, from);
        }
        writer.split_brain();
        writer.fence();
        writer.give_up();
        writer.errors();
        writer.page.finish()
    }
}

/// One page as it is being written.
struct Writer<'a> {
    sheet: &'a Sheet,
    places: &'a Places,
    page: Page,
}

impl Writer<'_> {
    fn name(&self, side: Side) -> String {
        self.sheet.spec.instance(side).to_string()
    }

    fn door(&self, side: Side) -> Option<&Door> {
        self.places.doors.get(self.sheet.spec.instance(side))
    }

    /// The replicas of SQL Server's own group; empty where it is none.
    fn replicas(&self) -> Vec<String> {
        self.door(Side::SqlServer).map(|door| door.replicas.clone()).unwrap_or_default()
    }

    fn azure(&self) -> Option<&AzureDoor> {
        self.door(Side::ManagedInstance)?.azure.as_ref()
    }

    /// A statement, below the line that says where it is run.
    fn sql(&mut self, side: Side, statement: &str) {
        let server = self.door(side).map_or("its address is not configured", |door| &door.server);
        let line = alloc::format!("On {} ({server}), database master:", self.name(side));
        self.page.line(&line);
        self.page.code("sql", statement);
    }
}
