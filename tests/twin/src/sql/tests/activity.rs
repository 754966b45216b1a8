//! Who is on the server and what it writes: what a proof of quiet rests on.

use super::super::Permission;
use super::*;

const SHOP: &str = "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE login_name = N'shop'";

fn value(bench: &mut Bench, query: &str) -> String {
    bench.run(query).lines().nth(1).unwrap_or_default().to_owned()
}

fn whole(bench: &mut Bench, query: &str) -> i64 {
    let text = value(bench, query);
    text.parse().unwrap_or_else(|_| panic!("{query}: {text:?} is no number"))
}

fn later(bench: &mut Bench, millis: i64) {
    let to = bench.world.now() + jiff::SignedDuration::from_millis(millis);
    bench.world.advance(to);
}

#[test]
fn a_change_of_role_ends_the_sessions_that_are_in_the_database() {
    let mut bench = Bench::admin("sql01");
    let (mut inside, mut outside) = (bench.another(), bench.another());
    bench.run_in(&mut inside, "USE Sales");
    bench.run_in(&mut outside, "USE msdb");
    let inside_id = inside.id;
    assert_eq!(bench.run("ALTER AVAILABILITY GROUP [LinkSales] FAILOVER"), "done\n");
    assert!(bench.run_in(&mut inside, "SELECT 1").starts_with("Msg 596,"));
    assert!(bench.run_in(&mut outside, "SELECT 1").contains("\n1\n"));
    let listed =
        format!("SELECT COUNT(*) AS n FROM sys.dm_exec_sessions WHERE session_id = {inside_id}");
    assert!(bench.run(&listed).contains("\n0\n"));
}

#[test]
fn counting_by_database_id_misses_who_sits_in_master() {
    let mut bench = Bench::admin("sql01");
    assert_eq!(whole(&mut bench, SHOP), 4);
    let by_database = format!("{SHOP} AND database_id = DB_ID(N'Sales')");
    assert_eq!(whole(&mut bench, &by_database), 3);
    let of_engine = "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE is_user_process = 0";
    assert!(whole(&mut bench, of_engine) > 3);
    assert_eq!(
        whole(
            &mut bench,
            "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE program_name LIKE N'SQLAgent%'"
        ),
        2
    );
    let shown = "SELECT TOP (1) program_name, host_name, status, \
                 IIF(last_request_end_time > DATEADD(second, -5, GETDATE()), 1, 0) AS fresh \
                 FROM sys.dm_exec_sessions WHERE login_name = N'shop'";
    assert_eq!(value(&mut bench, shown), "shop | APP-SHOP | sleeping | 1");
}

#[test]
fn open_transactions_of_applications_lead_to_the_database_that_they_write_to() {
    let mut bench = Bench::admin("sql01");
    let query = "SELECT DB_NAME(s.database_id), DB_NAME(d.database_id), st.open_transaction_count, a.name, \
                 a.transaction_state, d.database_transaction_state \
                 FROM sys.dm_tran_session_transactions st \
                 JOIN sys.dm_exec_sessions s ON s.session_id = st.session_id \
                 JOIN sys.dm_tran_active_transactions a ON a.transaction_id = st.transaction_id \
                 JOIN sys.dm_tran_database_transactions d ON d.transaction_id = st.transaction_id";
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..300 {
        later(&mut bench, 7);
        seen.extend(bench.run(query).lines().nth(1).map(str::to_owned));
    }
    let seen: Vec<String> = seen.into_iter().collect();
    let tail = "Sales | 1 | user_transaction | 2 | 4";
    assert_eq!(seen, [format!("Sales | {tail}"), format!("master | {tail}")]);
}

#[test]
fn the_log_stands_nearly_still_once_the_application_is_stopped() {
    let mut bench = Bench::admin("sql01");
    let counter = |name: &str| {
        format!(
            "SELECT cntr_value FROM sys.dm_os_performance_counters WHERE object_name LIKE \
             N'%:Databases%' AND counter_name = N'{name}' AND instance_name = N'Sales'"
        )
    };
    let (bytes, flushes) = (counter("Log Bytes Flushed/sec"), counter("Log Flushes/sec"));
    let before = (whole(&mut bench, &bytes), whole(&mut bench, &flushes));
    later(&mut bench, 10_000);
    let busy = (whole(&mut bench, &bytes), whole(&mut bench, &flushes));
    assert!(busy.0 - before.0 > 200_000 && busy.1 - before.1 > 150, "{before:?} {busy:?}");
    bench.world.set_running("shop", false).expect("it is there");
    later(&mut bench, 100_000);
    let idle = (whole(&mut bench, &bytes), whole(&mut bench, &flushes));
    assert!((1..5).contains(&(idle.1 - busy.1)), "background records go on: {busy:?} {idle:?}");
    assert!(idle.0 - busy.0 < 4_096, "{busy:?} {idle:?}");
    assert_eq!(whole(&mut bench, SHOP), 0);
    assert!(whole(&mut bench, &counter("Percent Log Used")) <= 1);
    assert_eq!(whole(&mut bench, &counter("Active Transactions")), 0);
}

#[test]
fn a_transaction_of_ones_own_is_seen() {
    let mut bench = Bench::admin("sql01");
    bench.run("BEGIN TRAN BEGIN TRAN");
    let count = "SELECT open_transaction_count FROM sys.dm_exec_sessions WHERE session_id = @@SPID";
    assert_eq!(whole(&mut bench, count), 2);
    let begun = "SELECT COUNT(*) FROM sys.dm_tran_session_transactions WHERE session_id = @@SPID";
    assert_eq!(whole(&mut bench, begun), 1);
    bench.run("ROLLBACK");
    assert_eq!((whole(&mut bench, count), whole(&mut bench, begun)), (0, 0));
}

#[test]
fn kill_ends_a_session_or_says_why_not() {
    let mut bench = Bench::admin("sql01");
    let mut number = |text: &str| {
        let said = bench.run(text);
        said.strip_prefix("Msg ").and_then(|rest| rest.split(',').next()).unwrap_or("").to_owned()
    };
    assert_eq!(number("KILL 53"), "6104");
    assert_eq!(number("KILL 6"), "6107");
    assert_eq!(number("KILL 700"), "6106");
    assert_eq!(number("KILL 0"), "6101");
    assert_eq!(number("KILL 1000 WITH STATUSONLY"), "6120");
    assert_eq!(number("KILL 1000"), "");
    let mut poor = Bench::new("sql01", &Login::with("p", "x", [Permission::ReadMsdb]));
    assert!(poor.run("KILL 1000").starts_with("Msg 6102,"));
    let allowed = [Permission::AlterAnyConnection, Permission::ViewServerPerformanceState];
    let mut rich = Bench::new("sql01", &Login::with("r", "x", allowed));
    assert_eq!(rich.run("KILL 1000"), "done\n");
    assert_eq!(whole(&mut rich, SHOP), 3);
    assert_eq!(
        value(&mut rich, "SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'ALTER ANY CONNECTION')"),
        "1"
    );
}

#[test]
fn a_session_that_is_killed_while_it_waits_is_told() {
    let mut bench = Bench::admin("sql01");
    let mut run =
        Run::batch("WAITFOR DELAY '00:01:00'", Vec::new(), &mut bench.session).expect("T-SQL");
    assert!(matches!(run.next(&mut bench.world, "sql01", &mut bench.session), Step::Wait(_)));
    bench.world.kill("sql01", 999, i64::from(bench.session.id)).expect("a user's session");
    let Step::Send(said) = run.next(&mut bench.world, "sql01", &mut bench.session) else {
        panic!("nothing is said");
    };
    assert!(matches!(&said[0], Output::Error(error) if error.number == 596 && error.class == 21));
    assert!(matches!(run.next(&mut bench.world, "sql01", &mut bench.session), Step::Close));
}

#[test]
fn while_commits_wait_for_the_other_side_their_requests_are_suspended() {
    let mut bench = Bench::admin("sql01");
    let slow = crate::world::Fault::Slow {
        from: crate::world::Party::Instance("sql01".into()),
        to: crate::world::Party::Instance("mi-dr".into()),
        ms: 200,
    };
    bench.world.fault(slow).expect("both exist");
    let origin = bench.session.origin();
    let failover = crate::world::Command::Failover { group: "LinkSales".into() };
    bench.world.execute("sql01", &origin, failover).expect("it is primary");
    let mut waits = 0;
    for _ in 0..100 {
        later(&mut bench, 10);
        waits += whole(
            &mut bench,
            "SELECT COUNT(*) FROM sys.dm_exec_requests WHERE wait_type = N'HADR_SYNC_COMMIT' AND status = N'suspended'",
        );
    }
    assert!(waits > 0);
    let delay = "SELECT cntr_value FROM sys.dm_os_performance_counters WHERE counter_name = N'Mirrored Write Transactions/sec'";
    assert!(whole(&mut bench, delay) > 0);
}
