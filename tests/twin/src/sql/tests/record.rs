//! What the record of commands keeps of what administrators do.

use super::{Bench, Login};

fn told(bench: &Bench) -> Vec<(String, Option<u32>)> {
    let commands = bench.world.ledger().commands().iter();
    commands.map(|command| (command.command.0.clone(), command.error)).collect()
}

#[test]
fn each_command_is_kept_with_its_outcome_and_without_secrets() {
    let mut bench = Bench::admin("sql01");
    let other = bench.another();
    let kill = format!("KILL {}", other.id);
    bench.run(&kill);
    bench.run("KILL 9999");
    bench.run("GRANT ALTER ANY AVAILABILITY GROUP TO [dr]; DENY VIEW SERVER STATE TO dr");
    bench.run("ALTER LOGIN sa WITH PASSWORD = N'gEheim1'");
    bench.run("CREATE MASTER KEY ENCRYPTION BY PASSWORD = 'gEheim2'");
    bench.run("CREATE CREDENTIAL [https://x.y/z] WITH IDENTITY = 'SHARED', SECRET = 'gEheim3'");
    bench.run("CREATE CERTIFICATE c WITH SUBJECT = 'c'; DROP CERTIFICATE nowhere");
    bench.run("CREATE DATABASE extra; ALTER DATABASE extra SET READ_ONLY; DROP DATABASE extra");
    bench.run("DBCC TRACEON (3226, -1)");
    bench.run("DECLARE @j sysname = N'none'; EXEC msdb.dbo.sp_start_job @job_name = @j");
    // What only reads, and what only its session notices, is nobody's command.
    bench.run("SELECT 1; SET NOCOUNT ON; USE msdb; KILL 51 WITH STATUSONLY");
    // Tables are everybody's, but for those of a session.
    bench.run("CREATE TABLE t (a int); CREATE TABLE #t (a int); INSERT #t VALUES (1)");
    bench.run("INSERT master.dbo.t VALUES (1)");
    bench.run("INSERT t VALUES (1); UPDATE t SET a = 2; DELETE t; DROP TABLE t");
    bench.run("INSERT t VALUES (1)");
    bench.run("CREATE TABLE u (a int); UPDATE x SET a = 1 FROM u AS x; DELETE y FROM sys.objects o JOIN dbo.u y ON 1 = 0");
    let told = told(&bench);
    let words: Vec<(&str, Option<u32>)> =
        told.iter().map(|(words, error)| (words.as_str(), *error)).collect();
    assert_eq!(
        words,
        [
            (kill.as_str(), None),
            ("KILL 9999", Some(6_106)),
            ("GRANT ALTER ANY AVAILABILITY GROUP TO [dr]", None),
            ("DENY VIEW SERVER STATE TO dr", None),
            ("ALTER LOGIN sa WITH PASSWORD = '***'", None),
            ("CREATE MASTER KEY ENCRYPTION BY PASSWORD = '***'", None),
            ("CREATE CREDENTIAL [https://x.y/z] WITH IDENTITY = 'SHARED', SECRET = '***'", None),
            ("CREATE CERTIFICATE c WITH SUBJECT = 'c'", None),
            ("DROP CERTIFICATE nowhere", Some(15_151)),
            ("CREATE DATABASE [extra]", None),
            ("ALTER DATABASE [extra] SET READ_ONLY", None),
            ("DROP DATABASE [extra]", None),
            ("DBCC TRACEON (3226, - 1)", None),
            ("EXECUTE msdb.dbo.sp_start_job @job_name = 'none'", Some(14_262)),
            ("CREATE TABLE [msdb].dbo.[t]", None),
            ("INSERT [master].dbo.[t]", Some(208)),
            ("INSERT [msdb].dbo.[t]", None),
            ("UPDATE [msdb].dbo.[t]", None),
            ("DELETE [msdb].dbo.[t]", None),
            ("DROP TABLE [msdb].dbo.[t]", None),
            ("INSERT [msdb].dbo.[t]", Some(208)),
            ("CREATE TABLE [msdb].dbo.[u]", None),
            ("UPDATE [msdb].dbo.[u]", None),
            ("DELETE [msdb].dbo.[u]", None),
        ]
    );
}

#[test]
fn what_a_session_may_not_do_is_kept_too() {
    let mut bench = Bench::new("sql01", &Login::with("nobody", "x", []));
    bench.run("KILL 60");
    bench.run("ALTER DATABASE Sales SET HADR SUSPEND");
    bench.run("DROP DATABASE Sales");
    bench.run("BACKUP LOG Sales TO DISK = N'x'");
    let told = told(&bench);
    let words: Vec<(&str, Option<u32>)> =
        told.iter().map(|(words, error)| (words.as_str(), *error)).collect();
    assert_eq!(
        words,
        [
            ("KILL 60", Some(6_102)),
            ("ALTER DATABASE [Sales] SET HADR SUSPEND", Some(5_011)),
            ("DROP DATABASE [Sales]", Some(3_701)),
            ("BACKUP DATABASE", Some(262)),
        ]
    );
    let who = &bench.world.ledger().commands()[0].who;
    assert_eq!((who.login.as_str(), who.program.as_str()), ("nobody", "bench"));
}

#[test]
fn what_applications_change_does_not_push_out_what_administrators_do() {
    let mut bench = Bench::admin("sql01");
    bench.run("DBCC TRACEON (3226, -1)");
    let origin = bench.session.origin();
    let change = "INSERT [Sales].dbo.[t]".to_owned();
    for _ in 0..60_001 {
        bench.world.note_command("sql01", origin.clone(), change.clone(), Ok(()));
    }
    let ledger = bench.world.ledger();
    assert_eq!((ledger.commands().len(), ledger.commands_forgotten()), (50_002, 10_000));
    assert_eq!(ledger.commands()[0].command.0, "DBCC TRACEON (3226, - 1)");
    let link = "DELETE /links/a".to_owned();
    for _ in 0..110_000 {
        bench.world.note_command("arm", origin.clone(), link.clone(), Ok(()));
    }
    let ledger = bench.world.ledger();
    assert_eq!((ledger.commands().len(), ledger.commands_forgotten()), (150_002, 20_000));
    assert_eq!(ledger.commands()[0].command.0, change);
}
