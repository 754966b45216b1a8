//! `cargo lab --script`: the whole story by itself. Every step is said, every check is counted.

mod acts;
mod planned;
mod tally;

use std::process::ExitCode;

use anyhow::Result;

use self::{acts::Scene, tally::Tally};
use crate::{
    stage::{Props, Stage},
    view::say,
};

/// Plays the story. The last line says how many checks passed and failed.
pub(crate) fn play(props: Props) -> Result<ExitCode> {
    let mut tally = Tally::default();
    if let Err(error) = story(props, &mut tally) {
        tally.broken(&error);
    }
    say(&tally.line());
    Ok(if tally.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Over and back with nothing lost, then from a lost primary to a split brain that is seen. What fails and leaves nothing to go on with
/// ends it.
fn story(props: Props, tally: &mut Tally) -> Result<()> {
    let (with_bus, keep) = (props.amqp.is_some(), props.keep);
    tally.step("Twin and agent are started, each as a process of its own");
    let mut stage = tally.must("the twin opens its doors", Stage::set(props))?;
    tally.must("the agent starts and answers", stage.start_agent())?;
    if keep {
        tally.note(&format!("logs and journal stay in {}", stage.folder().display()));
    }
    let mut scene = Scene::open(stage, with_bus)?;
    scene.healthy(tally)?;
    scene.goes_over(tally)?;
    scene.comes_back(tally)?;
    scene.primary_is_lost(tally)?;
    let id = scene.proposal_is_shown(tally)?;
    scene.first_signature_is_carried(tally, id)?;
    scene.altered_files_are_refused(tally, id)?;
    scene.second_signature_and_kill(tally, id)?;
    scene.new_primary_serves(tally)?;
    scene.loss_is_within(tally, id)?;
    scene.old_primary_returns(tally)?;
    scene.journal_tells_it_all(tally)
}
