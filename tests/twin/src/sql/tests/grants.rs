//! Rights that administrators grant, deny and revoke, as the next login has them.

use super::{Bench, Login};

/// What a login without rights may do after an administrator has run this.
fn after(statements: &str) -> Bench {
    let mut bench = Bench::admin("mi-dr");
    assert_eq!(bench.run(statements).matches("Msg").count(), 0, "{statements}");
    let setup = bench.world.instance("mi-dr").expect("it is there").setup().login("dr");
    let login = Login::with("dr", "x", []).as_set_up(&setup);
    bench.session = crate::sql::Session::new(bench.session.id, &login, "dr", "h", "master");
    bench
}

const SET: &str = "ALTER AVAILABILITY GROUP [LinkSales] SET (ROLE = SECONDARY)";
const ASKED: &str =
    "SELECT HAS_PERMS_BY_NAME(N'LinkSales', N'AVAILABILITY GROUP', N'ALTER') AS may";

#[test]
fn a_checkpoint_is_for_owners_of_the_database() {
    assert_eq!(Bench::admin("sql01").run("CHECKPOINT 10; CHECKPOINT"), "done\ndone\n");
    let mut bench = Bench::new("sql01", &Login::watching("eye", ""));
    assert!(bench.run("CHECKPOINT").contains("262"));
}

#[test]
fn alter_on_one_group_is_for_that_one() {
    let mut none = after("SELECT 1");
    assert!(none.run(SET).starts_with("Msg 15151"));
    for (granted, may) in [
        ("GRANT ALTER ON AVAILABILITY GROUP::LinkSales TO dr", true),
        ("GRANT ALTER ON AVAILABILITY GROUP::[LinkSales] TO [dr]", true),
        ("GRANT ALTER ON AVAILABILITY GROUP::[Other] TO dr", false),
        ("GRANT ALTER ANY AVAILABILITY GROUP TO dr", true),
        (
            "GRANT ALTER ANY AVAILABILITY GROUP TO dr; \
             DENY ALTER ON AVAILABILITY GROUP::LinkSales TO dr",
            false,
        ),
        (
            "GRANT ALTER ANY AVAILABILITY GROUP TO dr; \
             REVOKE ALTER ON AVAILABILITY GROUP::LinkSales FROM dr",
            true,
        ),
        (
            "GRANT ALTER ON AVAILABILITY GROUP::LinkSales TO dr; \
             REVOKE ALTER ON AVAILABILITY GROUP::LinkSales FROM dr",
            false,
        ),
    ] {
        let mut bench = after(granted);
        let said = bench.run(SET);
        // Who may hears that there is nothing to do: it is secondary already.
        let wanted = if may { "Msg 41195" } else { "Msg 15151" };
        assert!(said.starts_with(wanted), "{granted}: {said}");
        let asked = bench.run(ASKED);
        assert!(asked.ends_with(if may { "\n1\n" } else { "\n0\n" }), "{granted}: {asked}");
    }
}

#[test]
fn what_is_granted_is_there_and_what_is_revoked_is_gone() {
    let mut bench = after("GRANT VIEW SERVER STATE TO dr");
    assert!(bench.run("SELECT COUNT(*) FROM sys.dm_exec_connections").ends_with('\n'));
    let mut bench = after("GRANT VIEW SERVER STATE TO dr; REVOKE VIEW SERVER STATE FROM dr");
    let said = bench.run("SELECT COUNT(*) FROM sys.dm_exec_connections");
    assert!(said.starts_with("Msg 300") || said.starts_with("Msg 371"), "{said}");
}
