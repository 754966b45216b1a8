//! What is made from a file, and made anew when the file changes.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::SecretSource;

/// Something that is made from the text of a file. A text of which it can't be made leaves the last
/// one in use, and is told once.
pub(crate) struct Renewed<T> {
    /// None: it never changes.
    from: Option<From<T>>,
    last: Mutex<Made<T>>,
}

struct From<T> {
    source: SecretSource,
    /// Quick; what it says of a failure holds nothing of the text.
    make: Make<T>,
}

struct Made<T> {
    thing: T,
    /// The last text that was looked at, whether it was of use or not.
    seen: Hash,
}

/// What it says of a failure is for humans.
type Make<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;
type Hash = [u8; 32];

impl<T: Clone> Renewed<T> {
    /// Something that does not change.
    pub(crate) fn fixed(thing: T) -> Self {
        Self { from: None, last: Mutex::new(Made { thing, seen: [0; 32] }) }
    }

    /// Made from what `source` has read already, and from whatever it reads later.
    pub(crate) fn kept<E: fmt::Display>(
        source: SecretSource,
        make: impl Fn(&str) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let first = source.last();
        let made = Made { thing: make(first.expose_secret())?, seen: hash(first.expose_secret()) };
        let make: Make<T> = Box::new(move |text| make(text).map_err(|error| error.to_string()));
        Ok(Self { from: Some(From { source, make }), last: Mutex::new(made) })
    }

    /// As it is now. Waits for a slow disk half a second at most.
    pub(crate) async fn now(&self) -> T {
        let Some(from) = &self.from else { return self.last() };
        let text = from.source.now().await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = hash(text.expose_secret());
        if last.seen != seen {
            last.seen = seen;
            match (from.make)(text.expose_secret()) {
                Ok(thing) => last.thing = thing,
                Err(why) => tracing::warn!("{why}; what was read before is used further"),
            }
        }
        last.thing.clone()
    }

    /// As it was made last.
    pub(crate) fn last(&self) -> T {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).thing.clone()
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Secret;

    #[tokio::test]
    async fn a_changed_file_counts_at_once_and_an_unusable_one_not_at_all() {
        let file = Arc::new(Mutex::new(Ok("1".to_owned())));
        let read = Arc::clone(&file);
        let source = SecretSource::kept(Secret::from("1"), move || {
            read.lock().expect("one holder").clone().map(Secret::from)
        });
        let renewed = Renewed::kept(source, |text| text.parse::<u8>()).expect("a number");
        let becomes = |text: Result<&str, &str>| {
            let text = text.map(str::to_owned).map_err(str::to_owned);
            *file.lock().expect("one holder") = text;
        };
        assert_eq!(renewed.now().await, 1);
        for (text, number) in
            [(Ok("2"), 2), (Ok("no number"), 2), (Err("it is gone"), 2), (Ok("3"), 3)]
        {
            becomes(text);
            assert_eq!(renewed.now().await, number, "{text:?}");
        }
        let bad = SecretSource::fixed(Secret::from("x"));
        assert!(Renewed::kept(bad, |text| text.parse::<u8>()).is_err());
        assert_eq!(Renewed::fixed(7).now().await, 7);
    }
}
