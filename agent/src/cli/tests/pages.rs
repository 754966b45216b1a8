//! What people see, to the letter.

use agent_core::{Decision, Entry, Event, Health, LinkId, Side, StepRef, Subject};
use expect_test::{Expect, expect};

use super::{
    super::{output::text, review, show, status, verify::verify, words},
    at, back, cold, lost, masked, reading,
};
use crate::http::view;

#[test]
fn an_approver_sees_all_that_is_signed() {
    let shown = text(|page| review::proposal(page, &lost(), at(120)));
    expect![[r#"
        Proposal 4: forced failover of link orders
          opened            2026-03-01T12:01:13.000Z by the agent itself
          health            PrimaryDown
            - SQL Server has not answered 3 looks in a row, since 2026-03-01T12:00:11Z
            - by TDS to the managed instance the primary is not heard any more

        What was seen when it was opened, from each vantage
          TDS to SQL Server, 2026-03-01T12:01:13.000Z
            no answer: Refused (connection refused)
          TDS to the managed instance, 2026-03-01T12:01:13.000Z
            SECONDARY, database Online (read only), Synchronizing, last commit 2026-03-01T12:00:09.000Z, redo queue 0 KB, does not hear its partner, synchronisation healthy, version 16.0.4215.2

        Plan: exactly this is done, in this order, and nothing else
          lane 1: link orders, the managed instance becomes primary
            1. mi-1 is ready to become primary of orders
                only looks
                within 2 m
            2. mi-1 is PRIMARY of orders, ONLINE and READ_WRITE
                POINT OF NO RETURN: it can't be taken back
                route 1:
                  T-SQL on mi-1: ALTER AVAILABILITY GROUP [orders] FORCE_FAILOVER_ALLOW_DATA_LOSS
                route 2, only if nothing was sent before:
                  ARM POST /subscriptions/s/links/orders/failover {"failoverType":"ForcedAllowDataLoss"}
                within 2 m
            3. mi-1 serves orders
                only looks
                within 2 m
          standing order: when SQL Server comes back as primary, at once and unasked
            1. nobody works in orders on sql-1
                quiet for 5.0 s, with at most 256 KB of log in that time
                route 1:
                  T-SQL on sql-1: DECLARE @id int = 0, @end nvarchar(30); SET @id = (SELECT MIN(session_id) FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND database_id = DB_ID(N'orders') AND session_id <> @@SPID AND session_id > @id); WHILE @id IS NOT NULL BEGIN SET @end = N'KILL ' + CAST(@id AS nvarchar(10)); EXEC (@end); SET @id = (SELECT MIN(session_id) FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND database_id = DB_ID(N'orders') AND session_id <> @@SPID AND session_id > @id); END
                within 5 m

        What it costs
          expected loss     between 1.0 s and 3.0 s of commits
          recovery          3.0 s to 30 s from the command until writes
          signed bound      8.0 s: no step starts if the forecast exceeds it

        Clocks
          approve by        2026-03-01T13:01:13.000Z (59 m 13 s left by this machine's clock)
          execute within    15 m of the last signature that it takes
          refused steps     tried again after 5.0 s, 20 times at the most
          unknown outcomes  looked after for 10 m, then a human is asked

        Signatures
          it takes          2 of: alice, bob
          break glass       not configured

        Notes
          - Expected loss: between 1.0 s and 3.0 s of commits, likely up to 3.0 s. No step starts if the forecast exceeds 8.0 s
          - Point of no return: step 2 (mi-1 is PRIMARY of orders, ONLINE and READ_WRITE)
          - Do not restart the managed instance and do not drop the link before its first full backup after the change of roles: some minutes for a small database
          - When the old primary returns it will still be PRIMARY and take writes: keep applications away from it
          - With it you sign the return guard: when SQL Server returns as PRIMARY, whoever works in its database is ended at once, without asking again; with no logins in `links.guard` those who come back are ended again, as often as the plan allows. Nothing is taken from it

        Digests, to compare with those that others see
          proposal          sha256:DIGEST
          plan              sha256:DIGEST
    "#]].assert_eq(&masked(&shown));
}

#[test]
fn an_approver_sees_what_a_planned_failover_runs_and_looks_at() {
    let shown = text(|page| review::proposal(page, &back(), at(11)));
    let from = shown.find("Plan:").expect("there is a plan");
    let to = shown.find("Clocks").expect("and what comes after");
    expect![[r#"
        Plan: exactly this is done, in this order, and nothing else
          lane 1: link orders, SQL Server becomes primary
            1. sql-1 is ready to become primary of orders
                only looks
                within 2 m
            2. nobody works in orders on mi-1
                asked whether the applications run (exit code 0) or are stopped (3):
                  run /usr/local/sbin/shop orders status (sha256 abababababababababababababababababababababababababababababababab)
                quiet for 5.0 s, with at most 256 KB of log in that time
                taken back, if need be, by:
                  run /usr/local/sbin/shop orders start (sha256 abababababababababababababababababababababababababababababababab)
                  killed after 1 m
                until the applications work in orders on mi-1
                asked whether the applications run (exit code 0) or are stopped (3):
                  run /usr/local/sbin/shop orders status (sha256 abababababababababababababababababababababababababababababababab)
                route 1:
                  run /usr/local/sbin/shop orders stop (sha256 abababababababababababababababababababababababababababababababab)
                  killed after 1 m
                within 5 m
            3. sql-1 has all that mi-1 has of orders
                quiet for 5.0 s, with at most 256 KB of log in that time
                only looks
                within 5 m
            4. sql-1 has taken over orders as PRIMARY
                POINT OF NO RETURN: it can't be taken back
                route 1:
                  T-SQL on mi-1: ALTER AVAILABILITY GROUP [orders] FAILOVER
                route 2, only if nothing was sent before:
                  ARM POST /subscriptions/s/links/orders/failover {"failoverType":"Planned"}
                within 10 m
            5. sql-1 serves orders
                only looks
                within 2 m
            6. mi-1 is SECONDARY of orders
                only looks
                within 2 m
            7. orders on sql-1 has a full backup of its new log chain
                route 1:
                  T-SQL on sql-1: BACKUP DATABASE [orders] TO DISK = N'/backup/orders-dr-agent-2-1772366410.bak' WITH CHECKSUM, FORMAT, NAME = N'dr-agent 2 1772366410'
                within 2 h
            8. the log backup jobs for orders on sql-1 have been looked at
                only looks
                within 2 m

        What it costs
          expected loss     no commits
          recovery          3.0 s to 30 s from the command until writes
          signed bound      0.0 s: no step starts if the forecast exceeds it

    "#]].assert_eq(&shown[from..to]);
}

#[test]
fn a_cold_agent_says_what_it_does_not_know() {
    let shown = text(|page| review::proposal(page, &cold(), at(4000)));
    expect![[r#"
        Proposal 1: forced failover of link orders
          opened            2026-03-01T12:00:00.000Z because mallory\u{1b}[2J asked for it
          health            Unknown

        What was seen when it was opened, from each vantage
          nothing: the agent had not seen anything of this link

        Plan: exactly this is done, in this order, and nothing else
          lane 1: link orders, the managed instance becomes primary
            1. mi-1 is ready to become primary of orders
                only looks
                within 2 m
            2. mi-1 is PRIMARY of orders, ONLINE and READ_WRITE
                POINT OF NO RETURN: it can't be taken back
                route 1:
                  T-SQL on mi-1: ALTER AVAILABILITY GROUP [orders] FORCE_FAILOVER_ALLOW_DATA_LOSS
                route 2, only if nothing was sent before:
                  ARM POST /subscriptions/s/links/orders/failover {"failoverType":"ForcedAllowDataLoss"}
                within 2 m
            3. mi-1 serves orders
                only looks
                within 2 m
          standing order: when SQL Server comes back as primary, at once and unasked
            1. nobody works in orders on sql-1
                quiet for 5.0 s, with at most 256 KB of log in that time
                route 1:
                  T-SQL on sql-1: DECLARE @id int = 0, @end nvarchar(30); SET @id = (SELECT MIN(session_id) FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND database_id = DB_ID(N'orders') AND session_id <> @@SPID AND session_id > @id); WHILE @id IS NOT NULL BEGIN SET @end = N'KILL ' + CAST(@id AS nvarchar(10)); EXEC (@end); SET @id = (SELECT MIN(session_id) FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND database_id = DB_ID(N'orders') AND session_id <> @@SPID AND session_id > @id); END
                within 5 m

        What it costs
          expected loss     FORECAST UNKNOWN: the primary may be alive and taking writes
          recovery          3.0 s or more from the command until writes; how much is not known
          signed bound      none: whatever is lost is lost

        Clocks
          approve by        2026-03-01T13:00:00.000Z (OVER by this machine's clock)
          execute within    15 m of the last signature that it takes
          refused steps     tried again after 5.0 s, 20 times at the most
          unknown outcomes  looked after for 10 m, then a human is asked

        Signatures
          it takes          2 of: alice, bob
          break glass       not configured
          attestation       REQUIRED: say how writes on the other side were stopped
          forecast unknown  has to be ACCEPTED in these words

        Notes
          - forecast unknown: the primary may be alive and taking writes
          - Nobody independent confirms that the primary is gone. Say how writes there were stopped
          - Point of no return: step 2 (mi-1 is PRIMARY of orders, ONLINE and READ_WRITE)
          - Do not restart the managed instance and do not drop the link before its first full backup after the change of roles: some minutes for a small database
          - When the old primary returns it will still be PRIMARY and take writes: keep applications away from it
          - With it you sign the return guard: when SQL Server returns as PRIMARY, whoever works in its database is ended at once, without asking again; with no logins in `links.guard` those who come back are ended again, as often as the plan allows. Nothing is taken from it

        Digests, to compare with those that others see
          proposal          sha256:DIGEST
          plan              sha256:DIGEST
    "#]].assert_eq(&masked(&shown));
}

#[test]
fn a_proposal_in_full_ends_with_where_it_stands() {
    let (detail, proposal) = (detail(), lost());
    let shown = text(|page| show::in_full(page, &detail, &proposal, at(120)));
    let end = shown.find("Where it stands").expect("the section is there");
    expect![[r#"
        Where it stands
          proposal 4        forced failover, approved, 1 of 3 steps done, steps may start until 2026-03-01T12:16:40.000Z
          next              dr-agent show 4
            2026-03-01T12:01:40.000Z alice approves
            step 1            done
            step 2            without effect so far, try 3: login failed
            step 3            waits
    "#]].assert_eq(&shown[end..]);
}

#[test]
fn ballots_are_judged_in_words() {
    let verdict = verify(&lost(), &[], &Default::default());
    expect![[r#"
        Ballots
          none; the proposal itself is whole
          0 of 2 approvals
    "#]]
    .assert_eq(&text(|page| verdict.page(page)));
}

#[test]
fn the_state_of_every_link_at_a_glance() {
    let terms = lost().terms;
    let look = looked(reading(agent_core::Role::Secondary, false, 9));
    let status = status_of(view::LinkStatus {
        reasons: terms.reasons.iter().map(ToString::to_string).collect(),
        episode: Some(3),
        forecast: Some(terms.forecast),
        sides: view::Sides { managed_instance: Some(look), ..view::Sides::default() },
        proposal: Some(detail().summary),
        ..link(Health::PrimaryDown)
    });
    expect![[r#"
        dr-agent 0.1.0, 2026-03-01T12:02:00.000Z, up for 2 m, entry 7
        bus: not configured

        orders: PrimaryDown since 2026-03-01T12:00:13.000Z
          primary           SQL Server
            - SQL Server has not answered 3 looks in a row, since 2026-03-01T12:00:11Z
            - by TDS to the managed instance the primary is not heard any more
          SQL Server        not looked at yet
          managed instance  0.8 s ago: SECONDARY, database Online (read only), Synchronizing, last commit 2026-03-01T12:00:09.000Z, redo queue 0 KB, does not hear its partner, synchronisation healthy, version 16.0.4215.2
          control plane     not looked at yet
          a forced failover now:
          expected loss     between 1.0 s and 3.0 s of commits
          recovery          3.0 s to 30 s from the command until writes
          proposal 4        forced failover, approved, 1 of 3 steps done, steps may start until 2026-03-01T12:16:40.000Z
          next              dr-agent show 4
    "#]].assert_eq(&text(|page| status::page(page, &status)));
}

#[test]
fn each_replica_of_a_side_has_its_line() {
    let said = |name: &str, role, said: &str| agent_core::ReplicaReading {
        name: name.into(),
        role,
        said: said.into(),
    };
    let mut primary = reading(agent_core::Role::Primary, true, 9);
    primary.replicas = vec![
        said("sql-1a", None, "connection refused"),
        said("sql-1b", Some(agent_core::Role::Primary), "PRIMARY"),
    ];
    let sides = view::Sides { sql_server: Some(looked(primary)), ..view::Sides::default() };
    let status = status_of(view::LinkStatus { sides, ..link(Health::Healthy) });
    let page = text(|page| status::page(page, &status));
    let lines: Vec<&str> = page.lines().skip_while(|line| !line.contains("SQL Server ")).collect();
    assert_eq!(
        lines[1..3],
        ["    - replica sql-1a: connection refused", "    - replica sql-1b: PRIMARY"]
    );
}

#[test]
fn an_entry_is_a_line() {
    let check = |event: Event, expected: &Expect| {
        let subject = Subject::Link(LinkId::new("orders").expect("a name"));
        let rule = Some("step_due".into());
        let entry = Entry { v: 1, seq: 12, at: at(1), subject, rule, event };
        expected.assert_eq(text(|page| page.line(0, words::entry(&entry))).trim());
    };
    let step = StepRef { proposal: 9, lane: 0, step: 1, attempt: 2, undo: false };
    check(
        Event::StepStarted { step, route: 0 },
        &expect![
            "12  2026-03-01T12:00:01.000Z  orders  step_started [step_due]: proposal 9 step 2 try 2, route 1"
        ],
    );
    check(
        Event::StepNotDone { step, why: "4\u{7}1104".into(), again: agent_core::Again::NextRoute },
        &expect![[
            r#"12  2026-03-01T12:00:01.000Z  orders  step_not_done [step_due]: proposal 9 step 2 try 2, without effect: 4\u{7}1104"#
        ]],
    );
    check(
        Event::ProposalApproved { proposal: 9, break_glass: false, execute_by: at(900) },
        &expect![
            "12  2026-03-01T12:00:01.000Z  orders  proposal_approved [step_due]: proposal 9, by its quorum; steps may start until 2026-03-01T12:15:00.000Z"
        ],
    );
    check(
        Event::EpisodeAcknowledged { by: "alice".into(), note: "seen\nand done".into() },
        &expect![[
            r#"12  2026-03-01T12:00:01.000Z  orders  episode_acknowledged [step_due]: alice: seen\u{a}and done"#
        ]],
    );
}

fn looked(seen: agent_core::SideReading) -> view::Look {
    let seen = agent_core::Seen::Side(seen);
    view::Look { begun_at: at(119), at: at(119), age_ms: 800, late: false, seen }
}

fn link(health: Health) -> view::LinkStatus {
    view::LinkStatus {
        link: LinkId::new("orders").expect("a name"),
        configured: true,
        health,
        since: Some(at(13)),
        primary: Some(Side::SqlServer),
        reasons: Vec::new(),
        episode: None,
        forecast: None,
        sides: view::Sides::default(),
        proposal: None,
        guard: None,
    }
}

fn status_of(link: view::LinkStatus) -> view::Status {
    view::Status {
        version: "0.1.0".into(),
        started_at: at(0),
        now: at(120),
        last_seq: 7,
        links: vec![link],
        bus: None,
        alerts: Vec::new(),
    }
}

fn detail() -> view::Detail {
    let proposal = lost();
    let terms = &proposal.terms;
    let step = |step, state, why: Option<&str>, attempts| view::StepView {
        lane: 0,
        step,
        action: String::new(),
        routes: Vec::new(),
        state,
        why: why.map(Into::into),
        attempts,
    };
    view::Detail {
        summary: view::Summary {
            proposal: terms.proposal,
            link: terms.link.clone(),
            kind: terms.kind,
            status: view::StatusWord::Approved,
            origin: terms.origin.clone(),
            opened_at: terms.opened_at,
            approvals: 2,
            quorum: 2,
            approve_by: terms.approve_by,
            execute_by: Some(at(1000)),
            step_count: 3,
            steps_done: 1,
            closed: None,
            acknowledged: true,
        },
        texts: proposal.texts.clone(),
        digest: proposal.digest.clone(),
        plan_digest: terms.plan_digest.clone(),
        ballots: vec![view::Cast {
            approver: super::name("alice"),
            decision: Decision::Approve {
                break_glass: false,
                forecast_unknown: false,
                attestation: None,
            },
            at: at(100),
        }],
        steps: vec![
            step(0, view::StepWord::Done, None, 1),
            step(1, view::StepWord::NotDone, Some("login failed"), 3),
            step(2, view::StepWord::Pending, None, 0),
        ],
    }
}
