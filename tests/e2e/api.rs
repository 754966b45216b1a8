//! The agent's door as the real binary has it: ready, asked to stop, begun again.

use std::time::Duration;

use tests::harness::{get, promtool_check_metrics, wait};

use crate::rig::{LIMIT, Rig, Wish};

/// What the end takes at the most, beside everything else that two cores do.
const STOPPED: Duration = Duration::from_secs(20);

#[test]
fn it_gets_ready_and_counts_what_it_looks_at() {
    let rig = Rig::healthy(Wish::new(31));
    rig.agent.wait_ready(LIMIT).expect("every vantage is looked from");
    rig.looks(2);
    let metrics = rig.agent.metrics().expect("a scrape");
    promtool_check_metrics(&metrics).unwrap_or_else(|words| panic!("{words}\n{metrics}"));
    for vantage in ["sql_server", "managed_instance", "control_plane"] {
        let looks = format!(
            "dr_agent_probe_looks_total{{link=\"{}\",result=\"answered\",vantage=\"{vantage}\"}} ",
            rig.link()
        );
        let looks = metrics.lines().find_map(|line| line.strip_prefix(&looks));
        let looks: u64 = looks.and_then(|value| value.parse().ok()).expect("a count");
        assert!(looks >= 2, "{vantage}: {looks}");
    }
    let serving = format!("dr_agent_link_serving{{link=\"{}\",side=\"sql_server\"}} 1", rig.link());
    assert!(metrics.contains(&serving), "{metrics}");
    assert!(!metrics.contains("dr_agent_bus_"), "there is no bus");
}

#[test]
fn asked_to_stop_it_ends_in_order_and_goes_on_at_the_next_start() {
    let mut rig = Rig::healthy(Wish::new(32));
    let mut stream = rig.follow(0);
    stream.until_health("healthy");
    let status = rig.process().terminate(STOPPED);
    assert!(status.success(), "{status}: {}", rig.log());
    assert!(rig.log().contains("stopped"), "{}", rig.log());
    assert!(!rig.log().contains("had not finished"), "{}", rig.log());
    assert!(stream.next(STOPPED).is_none(), "the stream ends");
    let before = rig.reader().head().expect("a head").seq;

    rig.start();
    // Where it was left: the start comes next, and a healthy link is no news.
    let mut stream = rig.follow(before);
    assert_eq!(stream.until("agent_started")["seq"], before + 1);
    wait::until("a look", LIMIT, || rig.agent.ready().then_some(()));
    let verified = rig.reader().verify().expect("the chain holds");
    assert_eq!(verified.entries, before + 1);
    assert_eq!(rig.health(), "healthy");
}

#[test]
fn tokens_are_replaced_without_a_restart() {
    let rig = Rig::healthy(Wish::new(33));
    let status = |token: &str| {
        let answer = get(rig.port(), "/api/v1/status", Some(token)).expect("an answer");
        answer.status
    };
    let old = rig.token().to_owned();
    let new = "a-token-of-forty-characters-made-by-hand";
    assert_eq!((status(&old), status(new)), (200, 401));
    // Both for a while, so that nobody is locked out while it is carried to those who ask.
    rig.rewrite("token", &format!("{old}\n# from the first of the month\n{new}\n"));
    assert_eq!((status(&old), status(new)), (200, 200));
    rig.rewrite("token", &format!("{new}\n"));
    assert_eq!((status(&old), status(new)), (401, 200));
    // A file that anybody could have read opens nothing, until it is mended.
    let mode = |mode| {
        let path = rig.config().with_file_name("token");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("our own file");
    };
    mode(0o644);
    assert_eq!(status(new), 401);
    assert!(rig.log().contains("tokens of this file are not accepted any more"), "{}", rig.log());
    mode(0o600);
    assert_eq!((status(&old), status(new)), (401, 200));
    assert!(!rig.log().contains(new) && !rig.log().contains(&old), "a token is in the log");
}
