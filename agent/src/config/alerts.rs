//! Where alerts are sent.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use probes::SecretSource;
use reqwest::Url;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use super::{
    build::Builder,
    check::{Findings, positive},
    file::File,
    locate::Key,
    secret::{Form, Source},
    span::Span,
};

/// Characters of the name of a sink or a rule at the most; it stands in metrics and in the journal.
const NAME: usize = 64;
/// Characters of a secret that signs, at the least.
const SECRET: usize = 16;

/// Where alerts are sent and what becomes of them.
#[derive(Clone, Debug)]
pub struct AlertSettings {
    /// How long a primary may be lost before it is a page and not a warning, if nothing else is.
    pub page_after: Duration,
    /// Where humans find the agent's API; ends without a slash.
    pub external_url: Option<String>,
    pub alertmanagers: Vec<AlertmanagerSettings>,
    pub webhooks: Vec<WebhookSettings>,
}

#[derive(Clone, Debug)]
pub struct AlertmanagerSettings {
    pub to: Destination,
    /// An active alert is pushed again after this.
    pub repeat_every: Duration,
}

#[derive(Clone, Debug)]
pub struct WebhookSettings {
    pub to: Destination,
    /// Signs every message.
    pub secret: SecretSource,
}

/// One receiver.
#[derive(Clone, Debug)]
pub struct Destination {
    pub name: String,
    pub url: Url,
    pub login: Login,
    /// PEM of the authorities to believe; None: those of the operating system.
    pub ca: Option<SecretSource>,
    pub connect_within: Duration,
    /// For the request and its answer, connecting included.
    pub send_within: Duration,
    /// What is less than this is not sent there.
    pub min_severity: Severity,
}

/// How the agent shows who it is.
#[derive(Clone, Debug)]
pub enum Login {
    Nobody,
    Bearer(SecretSource),
    Basic { user: String, password: SecretSource },
}

impl Login {
    /// Where the secret stands in the section of its receiver; where one would, if there is none.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Nobody | Self::Bearer(_) => "bearer",
            Self::Basic { .. } => "basic.password",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody ought to know.
    Warning,
    /// A human has to act, now.
    Page,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alerts {
    page_after: Span,
    external_url: Option<String>,
    alertmanagers: Vec<Alertmanager>,
    webhooks: Vec<Webhook>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Alertmanager {
    name: String,
    url: String,
    bearer: Option<Source>,
    basic: Option<Basic>,
    ca: Option<PathBuf>,
    #[serde(default = "five_seconds")]
    connect_within: Span,
    #[serde(default = "ten_seconds")]
    send_within: Span,
    #[serde(default = "warning")]
    min_severity: Severity,
    #[serde(default = "a_minute")]
    repeat_every: Span,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Webhook {
    name: String,
    url: String,
    secret: Source,
    bearer: Option<Source>,
    basic: Option<Basic>,
    ca: Option<PathBuf>,
    #[serde(default = "five_seconds")]
    connect_within: Span,
    #[serde(default = "ten_seconds")]
    send_within: Span,
    #[serde(default = "warning")]
    min_severity: Severity,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Basic {
    user: String,
    password: Source,
}

/// A receiver as the file has it, of either kind.
struct Written<'f> {
    key: Key,
    name: &'f str,
    url: &'f str,
    bearer: Option<&'f Source>,
    basic: Option<&'f Basic>,
    ca: Option<&'f PathBuf>,
    connect_within: Span,
    send_within: Span,
    min_severity: Severity,
}

/// What has to hold beyond the form.
pub(super) fn check(file: &File, found: &mut Findings) {
    let key = Key::new("alerts");
    if let Some(url) = &file.alerts.external_url
        && Url::parse(url).ok().is_none_or(|url| !["http", "https"].contains(&url.scheme()))
    {
        let right = "such as https://dr.example.com";
        found.add(&key.at("external_url"), format!("{url:?} is no address"), right);
    }
    let mut names = BTreeSet::new();
    for written in file.alerts.written() {
        if !names.insert((written.key.to_string().contains("webhooks"), written.name)) {
            let what = format!("another one is named `{}` too", written.name);
            found.add(&written.key.at("name"), what, "a name of its own for each");
        }
        written.check(found);
    }
    for (place, alertmanager) in file.alerts.alertmanagers.iter().enumerate() {
        let key = key.at("alertmanagers").nth(place).at("repeat_every");
        positive(&key, Some(alertmanager.repeat_every), found);
        if alertmanager.repeat_every.0 > Duration::from_secs(3600) {
            let what =
                format!("{} is longer than anybody keeps an alert", alertmanager.repeat_every);
            found.add(&key, what, "an hour at the most; a minute is good");
        }
    }
}

/// Where alerts go, with all secrets read.
pub(super) fn settings(file: &File, builder: &mut Builder<'_>) -> AlertSettings {
    let alerts = &file.alerts;
    let key = Key::new("alerts");
    let mut written = alerts.written().into_iter();
    let mut alertmanagers = Vec::new();
    for (own, written) in alerts.alertmanagers.iter().zip(written.by_ref()) {
        let repeat_every = own.repeat_every.0;
        alertmanagers
            .extend(written.build(builder).map(|to| AlertmanagerSettings { to, repeat_every }));
    }
    let mut webhooks = Vec::new();
    for (place, (own, written)) in alerts.webhooks.iter().zip(written).enumerate() {
        let key = key.at("webhooks").nth(place).at("secret");
        let before = builder.found.count();
        let secret = builder.kept(&key, &own.secret, Form::Line);
        if builder.found.count() == before && secret.last().expose_secret().len() < SECRET {
            let right = "a longer one; `openssl rand -hex 32` makes a good one";
            builder.found.add(&key, format!("it has fewer than {SECRET} characters"), right);
        }
        webhooks.extend(written.build(builder).map(|to| WebhookSettings { to, secret }));
    }
    AlertSettings {
        page_after: alerts.page_after.0,
        external_url: alerts.external_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
        alertmanagers,
        webhooks,
    }
}

impl Alerts {
    fn written(&self) -> Vec<Written<'_>> {
        let key = Key::new("alerts");
        let alertmanagers = self.alertmanagers.iter().enumerate().map(|(place, one)| Written {
            key: key.at("alertmanagers").nth(place),
            name: &one.name,
            url: &one.url,
            bearer: one.bearer.as_ref(),
            basic: one.basic.as_ref(),
            ca: one.ca.as_ref(),
            connect_within: one.connect_within,
            send_within: one.send_within,
            min_severity: one.min_severity,
        });
        let webhooks = self.webhooks.iter().enumerate().map(|(place, one)| Written {
            key: key.at("webhooks").nth(place),
            name: &one.name,
            url: &one.url,
            bearer: one.bearer.as_ref(),
            basic: one.basic.as_ref(),
            ca: one.ca.as_ref(),
            connect_within: one.connect_within,
            send_within: one.send_within,
            min_severity: one.min_severity,
        });
        alertmanagers.chain(webhooks).collect()
    }
}

impl Written<'_> {
    fn check(&self, found: &mut Findings) {
        let key = &self.key;
        name(self.name, key, found);
        for (part, span) in
            [("connect_within", self.connect_within), ("send_within", self.send_within)]
        {
            positive(&key.at(part), Some(span), found);
        }
        if self.connect_within > self.send_within {
            found.add(
                &key.at("connect_within"),
                format!(
                    "{} to connect is more than the {} for everything",
                    self.connect_within, self.send_within
                ),
                "at most `send_within`",
            );
        }
        if self.bearer.is_some() && self.basic.is_some() {
            let what = "there are two ways to log in";
            found.add(&key.at("bearer"), what, "one of `bearer` and `basic`, or none");
        }
        let url = Url::parse(self.url)
            .ok()
            .filter(|url| ["http", "https"].contains(&url.scheme()) && url.host_str().is_some());
        // The text itself may hold a password: it is not repeated.
        let Some(url) = url else {
            found.add(&key.at("url"), "this is no address", "such as https://alerts.example.com");
            return;
        };
        if !url.username().is_empty() || url.password().is_some() {
            let what = "a password does not stand in this file";
            found.add(&key.at("url"), what, "`basic` with a user and a password, or `bearer`");
        }
        let secret = self.bearer.is_some() || self.basic.is_some();
        if url.scheme() == "http" && secret && !loopback(&url) {
            found.add(
                &key.at("url"),
                "there is no TLS, and what the agent logs in with would be read on the way",
                "https://, or an address on loopback",
            );
        }
    }

    fn build(&self, builder: &mut Builder<'_>) -> Option<Destination> {
        let key = &self.key;
        let bearer = self.bearer.map(|source| builder.kept(&key.at("bearer"), source, Form::Line));
        let basic = self.basic.map(|basic| Login::Basic {
            user: basic.user.clone(),
            password: builder.kept(&key.at("basic").at("password"), &basic.password, Form::Line),
        });
        let ca = self.ca.and_then(|ca| builder.pem_source(&key.at("ca"), ca));
        Some(Destination {
            name: self.name.to_owned(),
            url: Url::parse(self.url).ok()?,
            login: bearer.map(Login::Bearer).or(basic).unwrap_or(Login::Nobody),
            ca,
            connect_within: self.connect_within.0,
            send_within: self.send_within.0,
            min_severity: self.min_severity,
        })
    }
}

pub(super) fn name(name: &str, key: &Key, found: &mut Findings) {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME || !name.chars().all(usable) {
        let right = format!("1 to {NAME} letters, digits, dots, hyphens and underscores");
        found.add(&key.at("name"), format!("{name:?} is no name"), right);
    }
}

fn loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            page_after: Span::secs(90),
            external_url: None,
            alertmanagers: Vec::new(),
            webhooks: Vec::new(),
        }
    }
}

fn five_seconds() -> Span {
    Span::secs(5)
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

fn a_minute() -> Span {
    Span::secs(60)
}

fn warning() -> Severity {
    Severity::Warning
}
