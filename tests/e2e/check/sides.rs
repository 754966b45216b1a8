//! What only both sides together can tell.

use tests::harness::wait;

use super::{
    super::rig::{LIMIT, MI},
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
    mend: Mend::SqlAnd(|bench| until(bench, <[String]>::is_empty)),
}];

/// Waits until what is wrong is like that: roles take their time.
fn until(bench: &Bench, like: impl Fn(&[String]) -> bool) {
    let found = wait::try_until(LIMIT, || like(&bench.check().wrong()).then_some(()));
    assert!(found.is_some(), "{:#?}", bench.check().wrong());
}
