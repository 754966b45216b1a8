//! What a look means for logins that are to be disabled, or let in again.

use alloc::{format, string::String, vec::Vec};

use crate::{deed::Sight, evidence::Silence};

/// A login as its server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginState {
    pub name: String,
    pub disabled: bool,
    /// Sessions that it has, in whichever database.
    pub sessions: i64,
}

/// Are all of them as they are to be? One that the server does not know keeps nobody out and lets
/// nobody in: that is told, and is no reason to stop.
pub fn logins_set(
    logins: &[String],
    disabled: bool,
    found: Result<Vec<LoginState>, Silence>,
) -> Sight {
    let found = match found {
        Ok(found) => found,
        Err(silence) => return Sight::Blind { why: silence.detail },
    };
    let state = |name: &String| found.iter().find(|known| known.name.eq_ignore_ascii_case(name));
    let names = |wanted: &dyn Fn(&String) -> bool| {
        let names: Vec<&str> =
            logins.iter().filter(|name| wanted(name)).map(String::as_str).collect();
        names.join(", ")
    };
    let word = |disabled: bool| if disabled { "disabled" } else { "enabled" };
    let other = names(&|name| state(name).is_some_and(|known| known.disabled != disabled));
    if !other.is_empty() {
        let seen = format!("{other} {}", word(!disabled));
        return Sight::Not { seen, first_hand: true };
    }
    let inside = names(&|name| state(name).is_some_and(|known| disabled && known.sessions > 0));
    if !inside.is_empty() {
        let seen = format!("{inside} disabled, and still there with sessions from before");
        return Sight::Not { seen, first_hand: true };
    }
    let unknown = names(&|name| state(name).is_none());
    let seen = format!("{} {}", names(&|name| state(name).is_some()), word(disabled));
    if unknown.is_empty() {
        return Sight::Holds { seen };
    }
    let warning = format!("the server has no login {unknown}: see `links.guard.logins`");
    Sight::Warned { seen, warning }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::SilenceKind;

    fn look(disabled: bool, found: &[(&str, bool)]) -> Sight {
        let logins = ["shop".into(), "reports".into()];
        let found = found.iter().map(|(name, disabled)| LoginState {
            name: (*name).into(),
            disabled: *disabled,
            sessions: 0,
        });
        logins_set(&logins, disabled, Ok(found.collect()))
    }

    #[test]
    fn each_login_has_to_be_as_it_is_to_be() {
        let both = [("Shop", true), ("reports", true)];
        assert!(matches!(look(true, &both), Sight::Holds { .. }));
        let Sight::Not { seen, .. } = look(true, &[("shop", true), ("reports", false)]) else {
            panic!("one of them is enabled");
        };
        assert_eq!(seen, "reports enabled");
        assert!(matches!(look(false, &both), Sight::Not { .. }));
    }

    #[test]
    fn who_is_in_already_has_to_go() {
        let known =
            |sessions| Vec::from([LoginState { name: "shop".into(), disabled: true, sessions }]);
        let look = |sessions| logins_set(&["shop".into()], true, Ok(known(sessions)));
        assert!(matches!(look(1), Sight::Not { first_hand: true, .. }));
        assert!(matches!(look(0), Sight::Holds { .. }));
    }

    #[test]
    fn one_that_is_unknown_is_told_and_stops_nothing() {
        let Sight::Warned { warning, .. } = look(true, &[("shop", true)]) else {
            panic!("the other one is as it should be");
        };
        assert!(warning.contains("no login reports"), "{warning}");
        let silence = Silence { kind: SilenceKind::TimedOut, detail: "late".into() };
        let blind = logins_set(&["shop".into()], true, Err(silence));
        assert!(matches!(blind, Sight::Blind { .. }));
    }
}
