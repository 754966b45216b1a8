//! Secrets and certificates that are replaced while the agent runs: the old one is taken away at the
//! other end, and the agent goes on.

use lab::{setup::Setup, twin::Twin};
use serde_json::Value;
use tests::harness::wait;
use tiberius::Row;
use tokio::{runtime::Builder, time::timeout};
use twin::world::{
    DirectoryChange, Fault,
    setup::{Change, LoginChange},
};

use crate::{
    logins::{by_password, logins, set, table},
    operator::log_in,
    planned::{asked, ended, nothing_lost, wish},
    rig::{LIMIT, MI, Rig, SQL},
};

const TRUST: &str = "trust.pem";
const NEW: &str = "Quite-an0ther-one";

/// Two logins at the server, tokens at the managed instance, and a file of authorities of our own.
fn prepare(setup: &mut Setup, twin: &Twin) {
    let ca = std::fs::read_to_string(&twin.endpoints.ca).expect("the authority");
    setup.secret(TRUST, &ca).expect("a file is written");
    for key in
        ["sql_servers.0.trust.ca", "managed_instances.0.trust.ca", "managed_instances.0.arm.ca"]
    {
        set(setup, key, TRUST);
    }
    let look = by_password(setup, twin, "watching", "watch");
    set(setup, "sql_servers.0.login", look);
    set(
        setup,
        "sql_servers.0.action_login",
        table([
            ("user", twin.endpoints.sql_server.user.clone().into()),
            ("password", table([("file", "sql-password".into())])),
        ]),
    );
    set(setup, "managed_instances.0.login", table([("entra", true.into())]));
}

/// A rig whose tokens live for 20 s, healthy.
fn rig(seed: u64) -> Rig {
    let mut wish = wish(seed, SQL);
    wish.prepare = Some(prepare);
    let mut rig = Rig::cold(wish);
    rig.fault(&Fault::TokenLifetime { s: 20 });
    rig.start();
    rig.wait_health("healthy");
    rig
}

/// Logins of the agent that came in at an instance so far.
pub(crate) fn came_in(rig: &Rig, at: &str) -> usize {
    let own = |entry: &&Value| entry["refused"].is_null() && entry["program"] == "dr-agent-lab";
    logins(rig, at).iter().filter(own).count()
}

/// Waits until the agent has logged in so many times more; before, its sessions are ended.
#[track_caller]
fn logs_in_again(rig: &Rig, at: &str) {
    let before = came_in(rig, at);
    end_sessions(rig, at);
    logs_in(rig, at, before + 1);
}

/// Waits until the agent has logged in so many times in all.
#[track_caller]
pub(crate) fn logs_in(rig: &Rig, at: &str, times: usize) {
    let came = wait::try_until(LIMIT, || (came_in(rig, at) >= times).then_some(()));
    assert!(came.is_some(), "no login at {at}: {:#?}\n{}", logins(rig, at).last(), rig.log());
}

/// Ends all sessions of the agent at an instance, which says nothing of who logs in next.
fn end_sessions(rig: &Rig, at: &str) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async { timeout(LIMIT, kill_all(&rig.twin, at)).await });
    ended.expect("an answer").expect("the sessions are ended");
}

async fn kill_all(twin: &Twin, at: &str) -> tiberius::Result<()> {
    let mut client = log_in(twin, at).await?;
    let own = "SELECT session_id FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND \
               program_name = N'dr-agent-lab'";
    let rows = client.simple_query(own).await?.into_first_result().await?;
    let ids = rows.iter().filter_map(|row: &Row| row.get::<i16, _>(0)).collect::<Vec<_>>();
    for id in ids {
        // One that has just ended by itself is no longer there.
        let killed = client.simple_query(format!("KILL {id}")).await;
        if let Ok(answer) = killed {
            let _ = answer.into_results().await;
        }
    }
    Ok(())
}

/// That every vantage was heard in its newest look.
#[track_caller]
fn all_heard(rig: &Rig) {
    rig.looks(2);
    let heard = wait::try_until(LIMIT, || {
        let link = rig.agent.link(rig.link()).ok()?;
        let vantages = ["sql_server", "managed_instance", "control_plane"];
        let silent =
            |vantage: &&str| link["sides"][*vantage]["seen"].to_string().contains("silence");
        (!vantages.iter().any(silent)).then_some(())
    });
    assert!(heard.is_some(), "{:#}", rig.agent.link(rig.link()).expect("it answers")["sides"]);
}

/// That nothing was ever taken for an outage, and that everything still acts.
#[track_caller]
pub(crate) fn goes_on(rig: &Rig) {
    all_heard(rig);
    rig.wait_health("healthy");
    let mut journal = rig.follow(0);
    let id = asked(rig, &mut journal);
    let wrong = ["primary_down", "proposal_opened"];
    let before = &journal.seen[..journal.seen.len() - 1];
    for entry in before {
        let text = entry["event"].to_string();
        assert!(!wrong.iter().any(|word| text.contains(word)), "{entry:#}");
    }
    rig.approve(id, "alice");
    ended(&mut journal, "succeeded");
    nothing_lost(rig, MI);
}

#[test]
fn passwords_and_secrets_are_replaced_without_a_restart() {
    let rig = rig(94);
    for (login, file) in [("dr_watch", "watch"), ("dr_agent", "sql-password")] {
        let change = LoginChange::Password(NEW.to_owned());
        let change = Change::Login { login: login.to_owned(), change };
        rig.twin.set_up(SQL, change).expect("another password");
        rig.rewrite(file, NEW);
    }
    logs_in_again(&rig, SQL);

    let application = || rig.twin.endpoints.arm.client_id.clone();
    let direct = |change| rig.twin.direct(&change).expect("the directory changes");
    let secret = NEW.to_owned();
    direct(DirectoryChange::AddSecret { application: application(), secret });
    rig.rewrite("arm-secret", NEW);
    let secret = rig.twin.endpoints.arm.client_secret.clone();
    direct(DirectoryChange::RemoveSecret { application: application(), secret });
    // Each of them needs a newer token; the last one of the old secret is gone by then.
    logs_in(&rig, MI, came_in(&rig, MI) + 6);
    goes_on(&rig);
}

#[test]
fn authorities_are_replaced_without_a_restart() {
    let rig = rig(95);
    rig.rewrite(TRUST, "-----BEGIN CERTIFICATE-----\nhalf of");
    logs_in_again(&rig, SQL);
    all_heard(&rig);

    rig.twin.renew_certificates().expect("another authority");
    let ca = std::fs::read_to_string(&rig.twin.endpoints.ca).expect("the new one");
    rig.rewrite(TRUST, &ca);
    logs_in_again(&rig, SQL);
    logs_in(&rig, MI, came_in(&rig, MI) + 2);
    goes_on(&rig);
}
