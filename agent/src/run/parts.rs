//! Tasks with names: begun together, told together, and named if they do not finish.

use std::{fmt::Display, future::Future, pin::Pin, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Before a part that panicked is begun again; doubled each time.
const PAUSE_LEAST: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(60);

/// Parts that are stopped by one token.
pub(super) struct Parts {
    stop: CancellationToken,
    running: Vec<(String, AbortOnDropHandle<()>)>,
    tell_fallen: mpsc::Sender<String>,
    fallen: mpsc::Receiver<String>,
}

impl Parts {
    pub(super) fn new(stop: CancellationToken) -> Self {
        // The first one that falls ends everything: nobody reads a second name.
        let (tell_fallen, fallen) = mpsc::channel(1);
        Self { stop, running: Vec::new(), tell_fallen, fallen }
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// A part without which the agent can't be: if it ends before it is told to, everything ends.
    pub(super) fn once<F>(&mut self, name: &str, begin: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = begin(self.stop.clone());
        self.watch(name, async move {
            work.await;
            Ok::<_, std::convert::Infallible>(())
        });
    }

    /// The same of a part that says why it ended.
    pub(super) fn fallible<F, E>(&mut self, name: &str, begin: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let work = begin(self.stop.clone());
        self.watch(name, work);
    }

    /// A part that is begun again if it panics: what it does is worth more than the process it is in.
    pub(super) fn again<F>(
        &mut self,
        name: &str,
        begin: impl Fn(CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, part) = (self.stop.clone(), name.to_owned());
        self.keep(name, async move {
            let mut pause = PAUSE_LEAST;
            while !stop.is_cancelled() {
                match spawned(begin(stop.clone())).await {
                    Ok(()) if stop.is_cancelled() => return,
                    Ok(()) => tracing::error!(part, "ended by itself; it is begun again"),
                    Err(error) => tracing::error!(part, %error, "panicked; it is begun again"),
                }
                if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(PAUSE_MOST);
            }
        });
    }

    /// The name of the first part that ended though nobody had told it to. Waits for ever if none
    /// does.
    pub(super) async fn fallen(&mut self) -> String {
        match self.fallen.recv().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }

    /// Tells all to stop and waits for them, as long as `patience` lasts. Gives the names of those
    /// that did not finish; they are cut off.
    pub(super) async fn finish(&mut self, mut patience: Pin<&mut Sleep>) -> Vec<String> {
        self.stop.cancel();
        let mut late = Vec::new();
        for (name, mut task) in self.running.drain(..) {
            tokio::select! {
                biased;
                // One that panicked has been told of already.
                _ = &mut task => {}
                () = patience.as_mut() => {
                    late.push(name);
                }
            }
        }
        late
    }

    fn watch<E: Display + Send + 'static>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let (stop, tell, part) = (self.stop.clone(), self.tell_fallen.clone(), name.to_owned());
        self.keep(name, async move {
            match spawned(work).await {
                Ok(Ok(())) if stop.is_cancelled() => return,
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(part, %error, "failed"),
                Err(error) => tracing::error!(part, %error, "panicked"),
            }
            // If the place is taken, somebody else has fallen first.
            drop(tell.try_send(part));
        });
    }

    fn keep(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        self.running.push((name.to_owned(), spawned(task)));
    }
}

/// A task that does not outlive whoever waits for it.
fn spawned<F>(task: F) -> AbortOnDropHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(task))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_finish_is_named() {
        let mut parts = Parts::new(CancellationToken::new());
        parts.once("quick", |stop| async move { stop.cancelled().await });
        parts.once("slow", |_| std::future::pending());
        parts.once("slower", |_| std::future::pending());
        parts.once("after", |stop| async move { stop.cancelled().await });
        let patience = sleep(GRACE);
        tokio::pin!(patience);
        assert_eq!(parts.finish(patience.as_mut()).await, ["slow", "slower"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_to_fall_is_told() {
        for how in ["ends", "fails", "panics"] {
            let mut parts = Parts::new(CancellationToken::new());
            parts.once("steady", |stop| async move { stop.cancelled().await });
            parts.fallible("weak", move |_| async move {
                match how {
                    "panics" => panic!("as the test wants it"),
                    "fails" => Err("as the test wants it"),
                    _ => Ok(()),
                }
            });
            assert_eq!(parts.fallen().await, "weak", "{how}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_eye_that_panics_is_opened_again() {
        let begun = Arc::new(AtomicU32::new(0));
        let mut parts = Parts::new(CancellationToken::new());
        let count = Arc::clone(&begun);
        parts.again("eye", move |stop| {
            let time = count.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(time >= 3, "as the test wants it");
                stop.cancelled().await;
            }
        });
        sleep(PAUSE_MOST).await;
        assert_eq!(begun.load(Ordering::SeqCst), 4);
        let patience = sleep(GRACE);
        tokio::pin!(patience);
        assert!(parts.finish(patience.as_mut()).await.is_empty());
    }
}
