//! Alerts, both ways: what is taken, and the words for what is not.

use expect_test::expect;

use super::{
    super::{AlertLink, Login, Severity},
    Folder, SMALL, check_more,
};

const RULE: &str = r#"
[[alert_rules]]
name = "lost"
match = { alertname = "OrdersLost", severity = ["page", "critical"], "a.b" = "c" }
link = "orders"
kind = "forced_failover"
"#;

#[test]
fn all_is_taken_as_it_stands() {
    let folder = Folder::new();
    let more = r#"
[alerts]
page_after = "0s"
external_url = "https://dr.example.com/"

[[alerts.alertmanagers]]
name = "a"
url = "http://127.0.0.1:9093"
basic = { user = "agent", password = { file = "password" } }
min_severity = "page"

[[alerts.alertmanagers]]
name = "b"
url = "http://alertmanager.example.com/prefix"

[[alerts.webhooks]]
name = "a"
url = "https://pager.example.com/hooks?to=dba"
secret = { file = "private" }
bearer = { file = "token" }
"#;
    let text = SMALL.replace("[http]", "[http]\nwebhook_token_files = [\"token\"]");
    let config = folder.parse(&format!("{text}{more}{RULE}")).expect("right");
    let alerts = &config.alerts;
    assert_eq!(alerts.external_url.as_deref(), Some("https://dr.example.com"));
    assert!(alerts.page_after.is_zero());
    let [a, b] = &alerts.alertmanagers[..] else { panic!("two") };
    assert!(matches!(&a.to.login, Login::Basic { user, .. } if user == "agent"));
    assert_eq!((a.to.min_severity, b.to.min_severity), (Severity::Page, Severity::Warning));
    assert!(matches!(b.to.login, Login::Nobody));
    let [webhook] = &alerts.webhooks[..] else { panic!("one") };
    assert!(matches!(webhook.to.login, Login::Bearer(_)));
    let [rule] = &config.alert_rules[..] else { panic!("one") };
    assert_eq!(rule.matchers["alertname"], ["OrdersLost"]);
    assert_eq!(rule.matchers["severity"], ["page", "critical"]);
    assert_eq!(rule.link, AlertLink::Fixed(config.links[0].id.clone()));
    assert_eq!((rule.age_most.as_secs(), rule.cooldown.as_secs()), (900, 3600));
    let shown = config.effective_toml();
    assert_eq!(folder.parse(&shown).expect("what is shown is right").effective_toml(), shown);
    assert!(!shown.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
}

#[test]
fn receivers() {
    check_more(
        r#"
[alerts]
external_url = "dr.example.com"

[[alerts.alertmanagers]]
name = "a b"
url = "http://alertmanager.example.com"
bearer = { file = "token" }
connect_within = "30s"
repeat_every = "0s"

[[alerts.alertmanagers]]
name = "twice"
url = "https://someone:hunter2@alertmanager.example.com"
repeat_every = "2h"

[[alerts.alertmanagers]]
name = "twice"
url = "alertmanager:9093 hunter2"
bearer = { file = "token" }
basic = { user = "agent", password = { file = "password" } }

[[alerts.webhooks]]
name = "twice"
url = "https://pager.example.com"
secret = { file = "short" }
"#,
        &expect![[r#"
            agent.toml:3:1: alerts.external_url: "dr.example.com" is no address
              right: such as https://dr.example.com
            agent.toml:6:1: alerts.alertmanagers[0].name: "a b" is no name
              right: 1 to 64 letters, digits, dots, hyphens and underscores
            agent.toml:7:1: alerts.alertmanagers[0].url: there is no TLS, and what the agent logs in with would be read on the way
              right: https://, or an address on loopback
            agent.toml:9:1: alerts.alertmanagers[0].connect_within: 30s to connect is more than the 10s for everything
              right: at most `send_within`
            agent.toml:10:1: alerts.alertmanagers[0].repeat_every: no time at all
              right: more than 0
            agent.toml:14:1: alerts.alertmanagers[1].url: a password does not stand in this file
              right: `basic` with a user and a password, or `bearer`
            agent.toml:15:1: alerts.alertmanagers[1].repeat_every: 2h is longer than anybody keeps an alert
              right: an hour at the most; a minute is good
            agent.toml:18:1: alerts.alertmanagers[2].name: another one is named `twice` too
              right: a name of its own for each
            agent.toml:19:1: alerts.alertmanagers[2].url: this is no address
              right: such as https://alerts.example.com
            agent.toml:20:1: alerts.alertmanagers[2].bearer: there are two ways to log in
              right: one of `bearer` and `basic`, or none
            agent.toml:26:1: alerts.webhooks[0].secret: it has fewer than 16 characters
              right: a longer one; `openssl rand -hex 32` makes a good one"#]],
    );
}

#[test]
fn rules() {
    check_more(
        RULE,
        &expect![[r#"
        agent.toml:2:3: alert_rules: nobody can hand in an alert: there is no token for it
          right: a file with a token in it in `http.webhook_token_files`"#]],
    );
    check_more(
        &RULE.replace("\"c\"", "7"),
        &expect![[
            r#"agent.toml:4:78: alert_rules[0].match."a.b": it takes a text in quotes, or a list of them"#
        ]],
    );
    check_more(
        r#"
[[alert_rules]]
name = "lost"
match = {}
link = "order"
kind = "forced_failover"

[[alert_rules]]
name = "lost"
match = { severity = [] }
kind = "forced_failover"
age_most = "0s"

[[alert_rules]]
name = "again"
match = { severity = "page" }
link_label = "link"
kind = "forced_failover"
age_most = "2h"
"#,
        &expect![[r#"
            agent.toml:2:3: alert_rules: nobody can hand in an alert: there is no token for it
              right: a file with a token in it in `http.webhook_token_files`
            agent.toml:4:1: alert_rules[0].match: every alert would match
              right: at least one label, such as `match = { alertname = "OrdersDown" }`
            agent.toml:5:1: alert_rules[0].link: there is no link named `order`
              right: did you mean `orders`?
            agent.toml:8:1: alert_rules[1].link: it has to be clear which link an alert is about
              right: one of `link` and `link_label`
            agent.toml:9:1: alert_rules[1].name: another rule is named `lost` too
              right: a name of its own for each rule
            agent.toml:10:11: alert_rules[1].match.severity: no value matches
              right: at least one value
            agent.toml:12:1: alert_rules[1].age_most: no time at all
              right: more than 0
            agent.toml:14:1: alert_rules[2].cooldown: after 1h one and the same alert would ask again, for it may be 2h old
              right: at least `age_most`"#]],
    );
}
