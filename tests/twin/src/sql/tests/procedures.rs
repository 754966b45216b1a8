//! Procedures that building and checking a link needs.

use super::super::Permission;
use super::*;

fn number(said: &str) -> Option<&str> {
    said.strip_prefix("Msg ")?.split(',').next()
}

#[test]
fn the_certificate_of_the_other_side_is_found_and_validated() {
    let mut bench = Bench::admin("sql01");
    let find = "SELECT certificate_id FROM sys.certificates WHERE issuer_name LIKE \
                '%Microsoft Corporation%' AND name = 'mi-dr.0a1b2c3d4e5f.database.windows.net'";
    let id = bench.run(find).lines().nth(1).unwrap_or_default().to_owned();
    let validate = format!("EXEC sp_validate_certificate_ca_chain {id}");
    assert_eq!(bench.run(&validate), "done\n", "certificate {id}");
    assert_eq!(number(&bench.run("EXEC sp_validate_certificate_ca_chain 7")), Some("15151"));
    let until = crate::world::setup::Until::Days(-1);
    let name = "mi-dr.0a1b2c3d4e5f.database.windows.net".to_owned();
    let change = crate::world::setup::Change::Certificate { name, own: false, until };
    bench.world.set_up("sql01", change).expect("it is there");
    assert_eq!(number(&bench.run(&validate)), Some("47105"), "it has expired");
    let add = format!("EXEC sp_certificate_add_issuer {id}, N'*.database.windows.net'");
    assert_eq!(bench.run(&add), "done\n");
    let poor = Login::with("p", "x", [Permission::ViewAnyDefinition]);
    assert_eq!(number(&Bench::new("sql01", &poor).run(&validate)), Some("15247"));
}

/// As the catalog functions of ODBC ask.
#[test]
fn the_catalog_is_told_as_odbc_asks_for_it() {
    let mut bench = Bench::admin("sql01");
    bench.run("CREATE TABLE Sales.dbo.Orders (id int IDENTITY PRIMARY KEY, who nvarchar(40), paid decimal(18,2) NOT NULL)");
    bench.run("USE Sales");
    let said = bench
        .run("EXEC [sys].sp_tables @table_name = N'Ord%', @table_type = N'''TABLE'',''VIEW'''");
    assert!(said.contains("Sales | dbo | Orders | TABLE | NULL"), "{said}");
    assert!(!bench.run("EXEC sp_tables N'Nope'").contains("Orders"));
    let said = bench.run("EXEC sp_columns_100 N'Orders', @ODBCVer = 3");
    let rows: Vec<&str> = said.lines().filter(|line| line.starts_with("Sales | ")).collect();
    assert_eq!(rows.len(), 3, "{said}");
    assert!(
        rows[1]
            .starts_with("Sales | dbo | Orders | who | -9 | nvarchar | 40 | 80 | NULL | NULL | 1 "),
        "{said}"
    );
    assert!(rows[2].starts_with("Sales | dbo | Orders | paid | 2 | numeric | 18 | "), "{said}");
    let said = bench.run("EXEC sp_datatype_info_100 -9, @ODBCVer = 4");
    assert!(said.contains("nvarchar | -9 | 4000 | N' | ' | max length"), "{said}");
    assert!(bench.run("EXEC sp_datatype_info").lines().count() > 20);
    assert_eq!(number(&bench.run("EXEC sp_tables 1, 2, 3, 4, 5, 6")), Some("8144"));
}

#[test]
fn a_managed_instance_shows_the_key_of_its_endpoint() {
    let mut bench = Bench::admin("mi-dr");
    bench.world.endpoint_keys(&[0x30, 0x82]);
    let said = bench.run("EXEC sp_get_endpoint_certificate 4");
    assert!(said.contains("varbinary(max)") && said.lines().count() > 1, "{said}");
    bench.go("sql01");
    assert_eq!(number(&bench.run("EXEC sp_get_endpoint_certificate 4")), Some("2812"));
}

#[test]
fn links_with_several_databases_are_switched_on_before_there_are_links() {
    let mut bench = Bench::admin("sql01");
    let read = |bench: &mut Bench| {
        bench.run("EXEC sys.sp_multidb_milink").lines().nth(1).map(str::to_owned)
    };
    assert_eq!(read(&mut bench).as_deref(), Some("0"));
    assert_eq!(
        number(&bench.run("EXEC sys.sp_multidb_milink 1")),
        Some("47505"),
        "there is a link"
    );
}
