//! Secrets that may be changed while the agent runs.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{task::spawn_blocking, time::timeout};

use crate::Secret;

/// Whoever logs in does not wait longer than this for a file: it takes what was read last.
const READ_WITHIN: Duration = Duration::from_millis(500);

/// Where a secret is kept. It is read anew for each use, which is once for each login and each
/// token, so that a password that is changed in its file needs no restart. Cheap to clone.
#[derive(Clone)]
pub struct SecretSource(Arc<Inner>);

type Read = Box<dyn Fn() -> Result<Secret, String> + Send + Sync>;

struct Inner {
    /// None: it never changes.
    read: Option<Read>,
    last: Mutex<Secret>,
    /// At most one read at a time, so that a folder that hangs costs one thread.
    reading: AtomicBool,
    /// Why the last read failed; told once.
    trouble: Mutex<Option<String>>,
}

impl SecretSource {
    /// A secret that does not change.
    #[must_use]
    pub fn fixed(secret: Secret) -> Self {
        Self::with(secret, None)
    }

    /// A secret that `read` reads, which may block and must be bounded in size; `first` is what it
    /// has read already. What it says of a failure must hold nothing of the secret.
    pub fn kept(
        first: Secret,
        read: impl Fn() -> Result<Secret, String> + Send + Sync + 'static,
    ) -> Self {
        Self::with(first, Some(Box::new(read)))
    }

    fn with(first: Secret, read: Option<Read>) -> Self {
        Self(Arc::new(Inner {
            read,
            last: Mutex::new(first),
            reading: AtomicBool::new(false),
            trouble: Mutex::new(None),
        }))
    }

    /// The secret as it is now; where it can't be read, as it was read last.
    pub async fn now(&self) -> Secret {
        let inner = &self.0;
        if inner.read.is_some() && !inner.reading.swap(true, Ordering::AcqRel) {
            let inner = Arc::clone(inner);
            // One that takes longer ends by itself, and its result serves the next use.
            drop(timeout(READ_WITHIN, spawn_blocking(move || inner.renew())).await);
        }
        self.last()
    }

    /// The secret as it was read last.
    #[must_use]
    pub fn last(&self) -> Secret {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    fn renew(&self) {
        if let Some(read) = &self.read {
            let got = read();
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            match got {
                Ok(secret) => {
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) = secret;
                    *trouble = None;
                }
                Err(why) if trouble.as_ref() != Some(&why) => {
                    tracing::warn!("{why}; what was read before is used further");
                    *trouble = Some(why);
                }
                Err(_) => {}
            }
        }
        self.reading.store(false, Ordering::Release);
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.read.is_some() { "kept" } else { "fixed" };
        f.debug_tuple("SecretSource").field(&kind).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn a_changed_secret_is_seen_at_the_next_use_and_a_missing_one_is_remembered() {
        let file = Arc::new(Mutex::new(Ok("one".to_owned())));
        let read = Arc::clone(&file);
        let source = SecretSource::kept(Secret::from("zero"), move || {
            read.lock().expect("one holder").clone().map(Secret::from)
        });
        assert_eq!(source.now().await.expose_secret(), "one");
        *file.lock().expect("one holder") = Ok("two".into());
        assert_eq!(source.now().await.expose_secret(), "two");
        *file.lock().expect("one holder") = Err("the file is gone".into());
        assert_eq!(source.now().await.expose_secret(), "two");
        *file.lock().expect("one holder") = Ok("three".into());
        assert_eq!(source.now().await.expose_secret(), "three");
        assert!(!format!("{source:?}").contains("three"));
    }

    #[tokio::test]
    async fn a_read_that_hangs_is_not_waited_for_and_not_begun_twice() {
        let (go, wait) = mpsc::channel::<()>();
        let (wait, reads) = (Mutex::new(wait), Arc::new(Mutex::new(0)));
        let count = Arc::clone(&reads);
        let source = SecretSource::kept(Secret::from("old"), move || {
            *count.lock().expect("one holder") += 1;
            // Ends with the test, whether it is told to or the channel closes.
            let _ = wait.lock().expect("one reader").recv();
            Ok(Secret::from("new"))
        });
        for _ in 0..3 {
            assert_eq!(source.now().await.expose_secret(), "old");
        }
        assert_eq!(*reads.lock().expect("one holder"), 1);
        drop(go);
    }
}
