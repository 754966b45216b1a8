//! Where both sides answer, and each of them has something to say.

use alloc::vec::Vec;

use jiff::Timestamp;

use super::{Assessment, Health, Reason};
use crate::{
    evidence::{Evidence, Recent, SideReading, Vantage},
    names::Side,
};

pub(super) fn split_brain(sql: &SideReading, mi: &SideReading) -> Assessment {
    let reasons = [seen_as(Side::SqlServer, sql), seen_as(Side::ManagedInstance, mi)];
    Assessment { health: Health::SplitBrain, primary: None, reasons: Vec::from(reasons) }
}

/// Whether each side takes writes by itself: one of them knows no link any more, and the other none
/// either, or is primary of a group that is of no use now. Which is the rightful one no role tells.
pub(super) fn parted(sql: &SideReading, mi: &SideReading) -> bool {
    let writes = |side: &SideReading| side.alone() || side.serving();
    (sql.alone() || mi.alone()) && writes(sql) && writes(mi)
}

pub(super) fn both_by_themselves(sql: &SideReading, mi: &SideReading) -> Assessment {
    let mut reasons = Vec::new();
    for (side, reading) in [(Side::SqlServer, sql), (Side::ManagedInstance, mi)] {
        reasons.push(match reading.alone() {
            true => Reason::ByItself { side },
            false => Reason::Serving { side },
        });
    }
    Assessment { health: Health::Parted, primary: None, reasons }
}

/// One side is primary of a group that the other does not know, and takes no writes.
pub(super) fn unlinked(side: Side, primary: &SideReading) -> Assessment {
    let by = Vantage::from(side.other());
    let reasons = Vec::from([seen_as(side, primary), Reason::NoLink { by }]);
    Assessment { health: Health::Unlinked, primary: None, reasons }
}

fn seen_as(side: Side, reading: &SideReading) -> Reason {
    if reading.serving() {
        return Reason::Serving { side };
    }
    Reason::InRole { side, role: reading.role }
}

/// Whether both sides have been in their roles at one time. The looks at them are not: one that was
/// begun before the other side was first seen in its new role says nothing of what came after, and
/// every planned failover would look like two primaries, or none.
pub(super) fn at_once(evidence: &Evidence) -> bool {
    together(evidence, Recent::role_since)
}

/// Whether both sides have taken writes at one time: people may have closed the one just before they
/// opened the other.
pub(super) fn both_write_at_once(evidence: &Evidence) -> bool {
    together(evidence, Recent::writes_since)
}

fn together(evidence: &Evidence, since: fn(&Recent) -> Option<Timestamp>) -> bool {
    let sql = evidence.of(Vantage::SqlServer);
    let mi = evidence.of(Vantage::ManagedInstance);
    let (Some(one), Some(other)) = (since(sql), since(mi)) else { return false };
    let (later, earlier) = if one > other { (one, mi) } else { (other, sql) };
    earlier.reading().is_some_and(|(begun_at, _)| begun_at >= later)
}
