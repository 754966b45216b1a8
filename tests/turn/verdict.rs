//! What is said of a link whose primary nobody names.

use agent_core::{Entry, Estate, Health, Reason, Vantage};
use jiff::Timestamp;

use crate::story::{at, estate, healthy, link, start, without_primary};

const LINK: &str = "orders";

#[test]
fn a_primary_that_the_other_side_hears_is_there_though_no_replica_says_so() {
    let mut estate = estate(&[LINK]);
    let (subject, event) = estate.admit(at(0), start()).expect("it starts");
    let entry = estate.entry(at(0), subject, None, event);
    estate.apply(&entry).expect("it follows");
    let mut sees = |second, seen: Vec<_>| {
        for look in seen {
            estate.observe(at(second), look);
        }
        settle(&mut estate, at(second));
        let record = estate.record(&link(LINK)).expect("the link");
        let heard = Reason::Heard { by: Vantage::ManagedInstance };
        (record.health, record.reasons.contains(&heard))
    };
    assert_eq!(sees(0, healthy(LINK, 0)), (Health::Healthy, false));
    for second in [5, 6] {
        let seen = sees(second, without_primary(LINK, true, second));
        assert_eq!(seen, (Health::Degraded, true));
    }
    for second in [7, 8] {
        let seen = sees(second, without_primary(LINK, false, second));
        assert_eq!(seen, (Health::NoPrimary, false));
    }
}

fn settle(estate: &mut Estate, now: Timestamp) {
    for _ in 0..20 {
        let Some((rule, subject, event)) = estate.next(now) else { return };
        let entry: Entry = estate.entry(now, subject, Some(rule), event);
        estate.apply(&entry).expect("it follows");
    }
    panic!("the rules do not come to rest");
}
