//! The catalog against the collection of columns that it was made from, and all of it asked.

use std::path::PathBuf;

use serde_json::Value;

use super::Bench;
use crate::sql::types::{Type, parse_type};
use crate::sql::views;

/// What the collection has, each asked on both sides where it is there.
const SERVED: &str = "msdb.dbo.backupmediafamily msdb.dbo.backupset msdb.dbo.restorehistory msdb.dbo.sysjobs \
    msdb.dbo.sysjobschedules sys.availability_databases_cluster sys.availability_group_listeners \
    sys.availability_groups sys.availability_replicas sys.certificates sys.columns \
    sys.configurations sys.credentials sys.database_files sys.database_mirroring_endpoints \
    sys.databases sys.dm_database_encryption_keys sys.dm_db_log_space_usage \
    sys.dm_exec_connections sys.dm_exec_requests sys.dm_exec_sessions sys.dm_hadr_auto_page_repair \
    sys.dm_hadr_automatic_seeding sys.dm_hadr_availability_group_states \
    sys.dm_hadr_availability_replica_cluster_nodes \
    sys.dm_hadr_availability_replica_cluster_states sys.dm_hadr_availability_replica_states \
    sys.dm_hadr_cluster sys.dm_hadr_cluster_members sys.dm_hadr_database_replica_cluster_states \
    sys.dm_hadr_database_replica_states sys.dm_hadr_instance_node_map sys.dm_hadr_name_id_map \
    sys.dm_hadr_physical_seeding_stats sys.dm_os_host_info sys.dm_os_performance_counters \
    sys.dm_os_sys_info sys.dm_os_wait_stats sys.dm_server_services \
    sys.dm_tran_active_transactions sys.dm_tran_database_transactions \
    sys.dm_tran_session_transactions sys.endpoints sys.master_files sys.messages sys.objects sys.schemas \
    sys.server_permissions sys.server_principals sys.server_resource_stats sys.server_role_members \
    sys.servers sys.sql_logins sys.symmetric_keys sys.tables sys.tcp_endpoints sys.time_zone_info \
    sys.types";

/// Functions that give rows.
const FUNCTIONS: [&str; 2] = ["sys.dm_db_log_stats", "sys.dm_io_virtual_file_stats"];

#[test]
fn every_view_is_there_in_its_place() {
    for at in ["sql01", "mi-dr"] {
        let mut bench = Bench::admin(at);
        for name in SERVED.split_whitespace() {
            let said = bench.run(&format!("SELECT * FROM {name}"));
            let cluster = name.contains("cluster") && !name.contains("replica_cluster_states");
            let boxed = (cluster && !name.contains("databases"))
                || ["listeners", "node_map", "name_id"].iter().any(|part| name.contains(part));
            let absent = match at {
                "sql01" => name == "sys.server_resource_stats",
                _ => boxed,
            };
            assert_eq!(said.starts_with("Msg 208"), absent, "{at}: {name}: {said}");
        }
    }
}

#[test]
fn files_and_logs_are_those_of_the_world() {
    let mut bench = Bench::admin("sql01");
    let of = "FROM sys.master_files WHERE database_id = DB_ID('Sales') ORDER BY file_id";
    let said = bench.run(&format!("SELECT type_desc, name, physical_name {of}"));
    assert!(
        said.contains("ROWS | Sales | C:\\Program Files\\Microsoft SQL Server\\MSSQL16."),
        "{said}"
    );
    assert!(said.contains("LOG | Sales_log | ") && said.contains("Sales_log.ldf"), "{said}");
    let size = bench.run(
        "SELECT CAST(size AS bigint) * 8192 AS b FROM Sales.sys.database_files WHERE type = 1",
    );
    let total =
        bench.run("SELECT total_log_size_in_bytes AS b FROM Sales.sys.dm_db_log_space_usage");
    let digits =
        |said: &str| said.lines().find(|line| line.parse::<u64>().is_ok()).map(str::to_owned);
    assert!(digits(&size).is_some(), "{size}");
    assert_eq!(digits(&size), digits(&total), "{size} {total}");
    let managed =
        Bench::admin("mi-dr").run("SELECT name FROM Sales.sys.database_files ORDER BY file_id");
    assert!(managed.contains("data_0\nlog\n"), "{managed}");
}

/// Names, order, types and nullability, object by object, where the collection is at hand.
#[test]
fn columns_are_those_of_the_collection() {
    let named = std::env::var_os("TWIN_SQL_SCHEMA").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let beside = beside.ancestors().nth(3).map(|root| root.join("shared/reference/sql-schema"));
    let Some(folder) = named.or(beside).filter(|folder| folder.is_dir()) else {
        eprintln!("the collection of columns is not at hand: the catalog is not compared with it");
        return;
    };
    let served: Vec<&str> = SERVED.split_whitespace().chain(FUNCTIONS).collect();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let json = path.extension().is_some_and(|extension| extension == "json");
        if !json || !name.contains('.') {
            continue;
        }
        let known = served.contains(&name.as_str());
        assert!(known, "{name}: not served");
        if known {
            let text = std::fs::read_to_string(&path).expect("text");
            compare(&name, &serde_json::from_str(&text).expect("JSON"), &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn compare(name: &str, wanted: &Value, wrong: &mut Vec<String>) {
    let parts: Vec<&str> = name.split('.').collect();
    let (database, schema, object) = match parts[..] {
        [database, schema, object] => (Some(database), schema, object),
        [schema, object] => (None, schema, object),
        _ => panic!("{name} is no name"),
    };
    let find = |managed| {
        let function = views::find_function((17, managed), object).map(|(function, _)| function);
        views::find((17, managed), database, schema, object).or(function)
    };
    let view = find(false).or_else(|| find(true)).expect("it is served");
    let columns = wanted["columns"].as_array().expect("columns");
    let names: Vec<&str> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
    let own: Vec<&str> = view.columns.iter().map(|column| column.name.as_str()).collect();
    if names != own {
        wrong.push(format!("{name}: wanted {names:?}, is {own:?}"));
        return;
    }
    for (wanted, own) in columns.iter().zip(&view.columns) {
        let ty = wanted["live_type"].as_str().or(wanted["type"].as_str()).unwrap_or_default();
        let ty = parse_type(&ty.replace(' ', ""));
        let nullable = wanted["nullable"].as_bool().unwrap_or(own.nullable);
        if ty.is_some_and(|ty| differ(ty, own.ty)) || nullable != own.nullable {
            let found = (&own.name, own.ty.to_string(), own.nullable);
            wrong.push(format!("{name}: wanted {wanted}, is {found:?}"));
        }
    }
}

fn differ(wanted: Type, own: Type) -> bool {
    wanted != own
}
