//! `runbook`: what people do if the agent can't, on paper.

use std::{io, path::Path};

use agent_core::{Estate, Event, LinkId, runbook::Sheet};
use clap::Args;

use super::{
    Context,
    client::CONFIG_PATH,
    exit::Failure,
    output::{Output, print, tell},
};
use crate::{
    clock::Clock,
    config::{Topology, topology},
    http::view::{RunbookPage, Runbooks, configured},
    journal::{JournalError, Reader},
    replay::recall,
};

/// Entries that are read at once.
const PAGE: usize = 256;

/// Asks the agent; if that does not answer, and no address of one was given, the page is made here
/// from the files of the agent: configuration, journal and recording.
#[derive(Debug, Args)]
pub(super) struct Runbook {
    /// Only for this link
    link: Option<String>,
    /// Ask no agent: make it from the agent's files on this machine
    #[arg(long)]
    offline: bool,
}

impl Runbook {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let link = self.link.as_deref().map(LinkId::new).transpose().map_err(Failure::usage)?;
        let told = if self.offline {
            offline(context, link.as_ref())?
        } else {
            match online(context, link.as_ref()) {
                Err(failure) if failure.passes() && context.connection.url.is_none() => {
                    tell(&format!("warning: {failure}\nwarning: made from the agent's files\n"));
                    offline(context, link.as_ref())?
                }
                answer => answer?,
            }
        };
        match context.output {
            // As it is: it goes to a printer.
            Output::Text => {
                let texts: Vec<&str> =
                    told.runbooks.iter().map(|page| page.text.as_str()).collect();
                print(&texts.join("\n"))
            }
            Output::Json => context.output.show(&told, |_| {}),
        }
    }
}

fn online(context: &Context, link: Option<&LinkId>) -> Result<Runbooks, Failure> {
    let query: Vec<(&str, String)> = link.iter().map(|link| ("link", link.to_string())).collect();
    context.connection.open()?.get(&["runbook"], &query)
}

/// Nobody else is asked. Better a page without roles than none: what can't be read is told.
fn offline(context: &Context, link: Option<&LinkId>) -> Result<Runbooks, Failure> {
    let path = context.connection.config.as_deref().unwrap_or(Path::new(CONFIG_PATH));
    let Topology { decides, places, journal, recording } = topology(path)?;
    let mut estate = decides();
    if let Err(error) = read(&journal, &mut estate) {
        let seq = estate.last_seq();
        tell(&format!("warning: nothing behind entry {seq} of the journal is known: {error}\n"));
    }
    match recording.as_deref().map(|folder| recall(folder, &mut estate)) {
        Some(Ok(())) | None => {}
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Some(Err(error)) => tell(&format!("warning: the last looks are not known: {error}\n")),
    }
    let links = link.map_or_else(|| configured(&estate), |link| vec![link.clone()]);
    let now = Clock::start(estate.last_at()).now();
    let mut runbooks = Vec::new();
    for link in links {
        let sheet = Sheet::of(&estate, &link, now);
        let missing = || Failure::refused("the configuration has no such link");
        runbooks.push(RunbookPage::write(&sheet.ok_or_else(missing)?, &places));
    }
    Ok(Runbooks { runbooks })
}

/// Folds the journal, with the looks that its verdicts rest on.
fn read(journal: &Path, estate: &mut Estate) -> Result<(), JournalError> {
    let reader = Reader::open(journal)?;
    loop {
        let page = reader.read_after(estate.last_seq(), PAGE)?;
        if page.is_empty() {
            return Ok(());
        }
        for stored in page {
            let seq = stored.entry.seq;
            let applied = estate.apply(&stored.entry);
            applied.map_err(|why| JournalError::Broken { seq, why: why.to_string() })?;
            if let Event::HealthChanged { evidence, .. } = stored.entry.event {
                for look in evidence {
                    estate.observe(stored.entry.at, look);
                }
            }
        }
    }
}
