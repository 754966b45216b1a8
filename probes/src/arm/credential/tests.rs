use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use async_trait::async_trait;
use azure_core::{
    credentials::{AccessToken, TokenRequestOptions},
    error::Error,
};
use tokio::time::Instant;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: i64 = 3600;

/// What a token service does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Gives,
    Refuses,
    Hangs,
}

/// A token service on tokio's paused clock. Its tokens are numbered.
struct Service {
    mood: Mutex<Mood>,
    lives: AtomicI64,
    asked: AtomicU32,
    started: Instant,
}

#[derive(Debug)]
struct Asking(Arc<Service>);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

impl Service {
    #[expect(clippy::disallowed_methods, reason = "the test's clock is tokio's paused one")]
    fn start() -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(Mood::Gives),
            lives: AtomicI64::new(HOUR),
            asked: AtomicU32::new(0),
            started: Instant::now(),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the test's clock is tokio's paused one")]
    fn now(&self) -> Timestamp {
        let elapsed = self.started.elapsed().as_secs();
        Timestamp::from_second(1_800_000_000 + i64::try_from(elapsed).expect("short"))
            .expect("a time")
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().expect("one holder") = mood;
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    fn kept(self: &Arc<Self>) -> Arc<KeptCredential> {
        let (service, clock) = (Arc::clone(self), Arc::clone(self));
        Arc::new(KeptCredential::with(
            Box::new(move || Ok(Arc::new(Asking(Arc::clone(&service))))),
            ARM_SCOPE,
            Arc::new(move || clock.now()),
            Duration::from_secs(3),
        ))
    }
}

#[async_trait]
impl TokenCredential for Asking {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, [ARM_SCOPE]);
        let number = self.0.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mood = *self.0.mood.lock().expect("one holder");
        match mood {
            Mood::Gives => {}
            Mood::Refuses => {
                return Err(Error::with_message(ErrorKind::Credential, "AADSTS7000215"));
            }
            Mood::Hangs => std::future::pending().await,
        }
        let ends = self.0.now().as_second() + self.0.lives.load(Ordering::SeqCst);
        let expires_on = std::time::SystemTime::UNIX_EPOCH
            + Duration::from_secs(ends.try_into().expect("after 1970"));
        Ok(AccessToken::new(format!("token {number}"), expires_on.into()))
    }
}

async fn token(kept: &KeptCredential) -> Result<String, SilenceKind> {
    kept.token().await.map(|token| token.secret().to_owned()).map_err(|error| error.kind)
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_until_it_is_about_to_expire_even_if_the_service_is_down() {
    let service = Service::start();
    let kept = service.kept();
    assert_eq!(token(&kept).await, Ok("token 1".into()));
    service.becomes(Mood::Refuses);
    sleep(59 * MINUTE).await;
    assert_eq!(token(&kept).await, Ok("token 1".into()), "one minute is left");
    assert_eq!(service.asked(), 1);
    sleep(MINUTE).await;
    assert_eq!(token(&kept).await, Err(SilenceKind::LoginFailed));
    service.becomes(Mood::Hangs);
    assert_eq!(token(&kept).await, Err(SilenceKind::TimedOut));
    service.becomes(Mood::Gives);
    assert_eq!(token(&kept).await, Ok("token 4".into()));
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_at_half_its_life_and_the_old_one_serves_while_that_fails() {
    let service = Service::start();
    let kept = service.kept();
    let stop = CancellationToken::new();
    let (keeper, until) = (Arc::clone(&kept), stop.clone());
    let keeping = tokio::spawn(async move { keeper.keep_fresh(until).await });
    sleep(Duration::from_secs(1)).await;
    assert_eq!((token(&kept).await, service.asked()), (Ok("token 1".into()), 1));
    sleep(29 * MINUTE).await;
    assert_eq!(service.asked(), 1);
    sleep(MINUTE).await;
    assert_eq!((token(&kept).await, service.asked()), (Ok("token 2".into()), 2));

    service.becomes(Mood::Hangs);
    sleep(55 * MINUTE).await;
    let tries = service.asked() - 2;
    assert!((20..=30).contains(&tries), "about once a minute: {tries}");
    assert_eq!(token(&kept).await, Ok("token 2".into()));
    service.becomes(Mood::Gives);
    sleep(2 * MINUTE).await;
    assert_ne!(token(&kept).await, Ok("token 2".into()));

    stop.cancel();
    keeping.await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn a_short_token_is_renewed_five_minutes_before_its_end() {
    let service = Service::start();
    service.lives.store(8 * 60, Ordering::SeqCst);
    let kept = service.kept();
    let stop = CancellationToken::new();
    let (keeper, until) = (Arc::clone(&kept), stop.clone());
    let keeping = tokio::spawn(async move { keeper.keep_fresh(until).await });
    sleep(Duration::from_secs(3 * 60 + 10)).await;
    assert_eq!(service.asked(), 2);
    stop.cancel();
    keeping.await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_the_first_token_share_one_question() {
    let service = Service::start();
    let kept = service.kept();
    let both = tokio::join!(token(&kept), token(&kept));
    assert_eq!(both, (Ok("token 1".into()), Ok("token 1".into())));
    assert_eq!(service.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_accepted_is_replaced_but_not_again_and_again() {
    let service = Service::start();
    let kept = service.kept();
    assert_eq!(token(&kept).await, Ok("token 1".into()));
    kept.forget_unless_new();
    assert_eq!(token(&kept).await, Ok("token 1".into()), "it was just got");
    sleep(MINUTE).await;
    kept.forget_unless_new();
    assert_eq!(token(&kept).await, Ok("token 2".into()));
    kept.forget();
    assert_eq!(token(&kept).await, Ok("token 3".into()));
}

#[tokio::test(start_paused = true)]
async fn what_was_opened_with_a_token_is_replaced_before_its_end_if_there_is_a_newer_one() {
    let service = Service::start();
    let kept = service.kept();
    let used = kept.current().await.expect("a token");
    sleep(31 * MINUTE).await;
    kept.renew().await.expect("another one");
    assert!(!kept.replaces(&used), "it is good for half an hour");
    sleep(28 * MINUTE).await;
    assert!(kept.replaces(&used), "one minute is left");

    let used = kept.current().await.expect("the second");
    sleep(31 * MINUTE).await;
    assert!(!kept.replaces(&used), "there is no newer one");
}

#[tokio::test(start_paused = true)]
async fn no_token_is_shown() {
    let service = Service::start();
    let kept = service.kept();
    token(&kept).await.expect("a token");
    let secret = crate::SecretSource::fixed("do not show".into());
    let source =
        CredentialSource::ClientSecret { tenant: "t".into(), client_id: "c".into(), secret };
    let shown = format!("{kept:?} {source:?}");
    assert!(!shown.contains("token 1") && !shown.contains("do not show"), "{shown}");
}

#[test]
fn a_source_that_cannot_work_is_refused_at_once() {
    let make = |source, authority: Option<&str>| {
        let http = Http::fixed(reqwest::Client::new());
        let now: Now = Arc::new(|| Timestamp::UNIX_EPOCH);
        KeptCredential::new(source, authority.map(str::to_owned), ARM_SCOPE, http, now, MINUTE)
            .map(drop)
    };
    let secret = |text: &str| CredentialSource::ClientSecret {
        tenant: "72f988bf".into(),
        client_id: "c".into(),
        secret: crate::SecretSource::fixed(text.into()),
    };
    assert_eq!(make(secret("s"), None), Ok(()));
    assert_eq!(make(secret("s"), Some("https://login.example")), Ok(()));
    let insecure = make(secret("s"), Some("http://login.example")).expect_err("not https");
    assert!(insecure.detail.to_lowercase().contains("https"), "{insecure}");
    make(secret(""), None).expect_err("no secret");
}
