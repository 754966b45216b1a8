//! The server itself: its machine and its zones.

use crate::sql::env::Env;
use crate::sql::functions::zone_names;
use crate::sql::moment::offset_text;

use super::{Row, View, row};

pub(super) fn sys_info(env: &Env<'_>, view: &View) -> Vec<Row> {
    let up = env.now().duration_since(env.instance.started()).as_millis();
    let up = i64::try_from(up).unwrap_or(i64::MAX);
    // The machine has been up for a day longer than the server.
    let before = 86_400_000;
    let memory = 16 * 1024 * 1024;
    let row = row(view)
        .set("cpu_ticks", (before + up).saturating_mul(2_600_000))
        .set("ms_ticks", before + up)
        .set("cpu_count", 4)
        .set("hyperthread_ratio", 4)
        .set("physical_memory_kb", memory)
        .set("virtual_memory_kb", 137_438_953_344_i64)
        .set("committed_kb", memory / 4)
        .set("committed_target_kb", memory / 2)
        .set("visible_target_kb", memory / 2)
        .set("stack_size_in_bytes", 2_093_056)
        .set("os_quantum", 4)
        .set("os_error_mode", 5)
        .set("os_priority_class", 32)
        .set("max_workers_count", 512)
        .set("scheduler_count", 4)
        .set("scheduler_total_count", 12)
        .set("sqlserver_start_time_ms_ticks", before)
        .set("sqlserver_start_time", env.datetime(env.instance.started()))
        .coded("affinity_type", 2, "AUTO")
        .coded("time_source", 0, "QUERY_PERFORMANCE_COUNTER")
        .coded("virtual_machine_type", 1, "HYPERVISOR")
        .coded("softnuma_configuration", 0, "OFF")
        .coded("sql_memory_model", 1, "CONVENTIONAL")
        .set("socket_count", 1)
        .set("cores_per_socket", 4)
        .set("numa_node_count", 1)
        .coded("container_type", 0, "NONE");
    vec![row.done()]
}

pub(super) fn host_info(env: &Env<'_>, view: &View) -> Vec<Row> {
    let (platform, distribution, release) = if env.instance.on_linux() {
        ("Linux", "Ubuntu", "22.04")
    } else {
        ("Windows", "Windows Server 2022 Standard", "10.0")
    };
    let row = row(view)
        .set("host_platform", platform)
        .set("host_distribution", distribution)
        .set("host_release", release)
        .set("host_service_pack_level", "")
        .set("host_sku", 7)
        .set("os_language_version", 1033)
        .set("host_architecture", "X64");
    vec![row.done()]
}

pub(super) fn servers(env: &Env<'_>, view: &View) -> Vec<Row> {
    let name = env.instance.server_name.as_str();
    let row = row(view)
        .set("server_id", 0)
        .set("name", name)
        .set("product", "SQL Server")
        .set("provider", "SQLNCLI")
        .set("data_source", name)
        .set("connect_timeout", 0)
        .set("query_timeout", 0)
        .set("modify_date", env.datetime(env.instance.started()))
        .flags(true, &["is_remote_login_enabled", "is_rpc_out_enabled"])
        .flags(
            false,
            &[
                "is_linked",
                "is_data_access_enabled",
                "is_collation_compatible",
                "uses_remote_collation",
                "lazy_schema_validation",
                "is_system",
                "is_publisher",
                "is_subscriber",
                "is_distributor",
                "is_nonsql_subscriber",
                "is_remote_proc_transaction_promotion_enabled",
                "is_rda_server",
            ],
        );
    vec![row.done()]
}

pub(super) fn time_zones(env: &Env<'_>, view: &View) -> Vec<Row> {
    let zone = |(name, zone): (&'static str, jiff::tz::TimeZone)| {
        let info = zone.to_offset_info(env.now());
        let minutes = i16::try_from(info.offset().seconds() / 60).unwrap_or(0);
        row(view)
            .set("name", name)
            .set("current_utc_offset", offset_text(minutes))
            .set("is_currently_dst", info.dst().is_dst())
            .done()
    };
    zone_names().map(zone).collect()
}
