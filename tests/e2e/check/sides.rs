//! What only both sides together can tell.

use tests::harness::wait;

use super::{
    super::rig::{LIMIT, MI, SQL},
    bench::{Bench, Case, Mend},
};

pub(super) const CASES: &[Case] = &[Case {
    id: "link.roles",
    subject: "link LinkSales",
    words: "split brain",
    broken: |bench| {
        let forced = "ALTER AVAILABILITY GROUP [LinkSales] FORCE_FAILOVER_ALLOW_DATA_LOSS;";
        bench.sql(MI, forced);
        let settled = || {
            let state = bench.twin.state().expect("the twin shows its state");
            state["links"][0]["operation"].is_null().then_some(())
        };
        wait::until("the end of the failover", LIMIT, settled);
    },
    // SQL Server is the one whose data do not count.
    mend: Mend::SqlAnd(follows),
}];

/// What is found next is mended as it is told: an old primary does not follow by itself.
fn follows(bench: &mut Bench) {
    let found = wait::try_until(LIMIT, || {
        let report = bench.check();
        let moving = report.finding("database.data_movement", SQL);
        if let Some(stopped) = moving.filter(|finding| finding["verdict"] == "wrong") {
            let resume = stopped["fix"][0]["text"].as_str().expect("a statement");
            bench.sql(SQL, resume);
        }
        report.wrong().is_empty().then_some(())
    });
    assert!(found.is_some(), "{:#?}", bench.check().wrong());
}
