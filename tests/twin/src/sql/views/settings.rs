//! Settings of the server, its types, what it has waited for, what it was billed for.

use crate::sql::env::Env;
use crate::sql::value::Value;
use crate::world::Instance;

use super::{Row, View, row};

/// A row of `sys.configurations`, as a fresh installation has it.
pub(crate) struct Configuration {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) least: i64,
    pub(crate) most: i64,
    value: i64,
    /// RECONFIGURE is enough, no start is needed.
    pub(crate) dynamic: bool,
    pub(crate) advanced: bool,
}

const fn configuration(
    id: u32,
    name: &'static str,
    (least, most, value): (i64, i64, i64),
    (dynamic, advanced): (bool, bool),
) -> Configuration {
    Configuration { id, name, least, most, value, dynamic, advanced }
}

/// `show advanced options`
pub(crate) const SHOW_ADVANCED: u32 = 518;

pub(crate) const CONFIGURATIONS: [Configuration; 21] = [
    configuration(101, "recovery interval (min)", (0, 32_767, 0), (true, true)),
    configuration(103, "user connections", (0, 32_767, 0), (false, true)),
    configuration(106, "locks", (5_000, 2_147_483_647, 0), (false, true)),
    configuration(115, "nested triggers", (0, 1, 1), (true, false)),
    configuration(117, "remote access", (0, 1, 1), (false, false)),
    configuration(503, "max worker threads", (128, 65_535, 0), (true, true)),
    configuration(505, "network packet size (B)", (512, 32_767, 4_096), (true, true)),
    configuration(SHOW_ADVANCED, "show advanced options", (0, 1, 0), (true, false)),
    configuration(1_534, "user options", (0, 32_767, 0), (true, false)),
    configuration(1_538, "cost threshold for parallelism", (0, 32_767, 5), (true, true)),
    configuration(1_539, "max degree of parallelism", (0, 32_767, 0), (true, true)),
    configuration(1_543, "min server memory (MB)", (0, 2_147_483_647, 0), (true, true)),
    configuration(
        1_544,
        "max server memory (MB)",
        (128, 2_147_483_647, 2_147_483_647),
        (true, true),
    ),
    configuration(1_576, "remote admin connections", (0, 1, 0), (true, false)),
    configuration(1_579, "backup compression default", (0, 1, 0), (true, false)),
    configuration(1_581, "optimize for ad hoc workloads", (0, 1, 0), (true, true)),
    configuration(16_384, "Agent XPs", (0, 1, 1), (true, true)),
    configuration(16_386, "Database Mail XPs", (0, 1, 0), (true, true)),
    configuration(16_390, "xp_cmdshell", (0, 1, 0), (true, true)),
    configuration(16_391, "clr enabled", (0, 1, 0), (true, false)),
    configuration(16_393, "contained database authentication", (0, 1, 0), (true, false)),
];

impl Configuration {
    /// The value that is set, and the one that holds.
    pub(crate) fn values(&self, instance: &Instance) -> (i64, i64) {
        let Some(set) = instance.setup().configured(self.id) else {
            return (self.value, self.value);
        };
        let started = instance.started() >= set.at;
        let in_use = if started { set.value } else { set.in_use.unwrap_or(self.value) };
        (set.value, in_use)
    }
}

/// `sys.types`: name, number, length, precision, scale; `n` types have the server's collation.
const TYPES: [(&str, i64, i64, i64, i64); 27] = [
    ("uniqueidentifier", 36, 16, 0, 0),
    ("date", 40, 3, 10, 0),
    ("time", 41, 5, 16, 7),
    ("datetime2", 42, 8, 27, 7),
    ("datetimeoffset", 43, 10, 34, 7),
    ("tinyint", 48, 1, 3, 0),
    ("smallint", 52, 2, 5, 0),
    ("int", 56, 4, 10, 0),
    ("smalldatetime", 58, 4, 16, 0),
    ("real", 59, 4, 24, 0),
    ("money", 60, 8, 19, 4),
    ("datetime", 61, 8, 23, 3),
    ("float", 62, 8, 53, 0),
    ("sql_variant", 98, 8_016, 0, 0),
    ("bit", 104, 1, 1, 0),
    ("decimal", 106, 17, 38, 38),
    ("numeric", 108, 17, 38, 38),
    ("smallmoney", 122, 4, 10, 4),
    ("bigint", 127, 8, 19, 0),
    ("varbinary", 165, 8_000, 0, 0),
    ("varchar", 167, 8_000, 0, 0),
    ("binary", 173, 8_000, 0, 0),
    ("char", 175, 8_000, 0, 0),
    ("timestamp", 189, 8, 0, 0),
    ("nvarchar", 231, 8_000, 0, 0),
    ("nchar", 239, 8_000, 0, 0),
    ("xml", 241, -1, 0, 0),
];

/// What the managed instance's resource statistics cover.
const INTERVAL_S: i64 = 15;

/// `sys.configurations`
pub(super) fn configurations(env: &Env<'_>, view: &View) -> Vec<Row> {
    let whole = |n: i64| Value::variant(crate::sql::types::Type::Int, Value::Int(n));
    let of = |own: &Configuration| {
        let (value, in_use) = own.values(env.instance);
        row(view)
            .set("configuration_id", i64::from(own.id))
            .set("name", own.name)
            .set("value", whole(value))
            .set("minimum", whole(own.least))
            .set("maximum", whole(own.most))
            .set("value_in_use", whole(in_use))
            .set("description", own.name)
            .set("is_dynamic", own.dynamic)
            .set("is_advanced", own.advanced)
            .done()
    };
    CONFIGURATIONS.iter().map(of).collect()
}

/// `sys.types`
pub(super) fn types(env: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |(name, id, length, precision, scale): (&str, i64, i64, i64, i64)| {
        let text = name.ends_with("char").then(|| env.instance.collation.clone());
        row(view)
            .set("name", name)
            .set("system_type_id", id)
            .set("user_type_id", id)
            .set("schema_id", 4)
            .set("max_length", length)
            .set("precision", precision)
            .set("scale", scale)
            .set("collation_name", text)
            .set("is_nullable", name != "timestamp")
            .flags(false, &["is_user_defined", "is_assembly_type", "is_table_type"])
            .done()
    };
    let mut rows: Vec<Row> = TYPES.map(of).into();
    let mut sysname = of(("sysname", 231, 256, 0, 0));
    if let Some(place) = view.columns.iter().position(|column| column.name == "user_type_id") {
        sysname[place] = Value::Int(256);
    }
    rows.push(sysname);
    rows
}

/// `sys.dm_os_wait_stats`: commits that waited for the other side, and flushes of the log.
pub(super) fn waits(env: &Env<'_>, view: &View) -> Vec<Row> {
    let logs = env.world.log_facts(env.at());
    let sum = |of: fn(&crate::world::views::LogFacts) -> u64| logs.iter().map(of).sum::<u64>();
    let known = [
        ("HADR_SYNC_COMMIT", sum(|log| log.mirrored), sum(|log| log.waited_ms)),
        ("WRITELOG", sum(|log| log.flushes), 0),
    ];
    // What nothing here ever waits for is listed all the same, with zeros.
    let never = ["LCK_M_S", "LCK_M_X", "PAGEIOLATCH_SH", "SOS_SCHEDULER_YIELD", "BACKUPIO"];
    let none = never.map(|name| (name, 0, 0));
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let of = |(name, count, ms): (&str, u64, u64)| {
        row(view)
            .set("wait_type", name)
            .set("waiting_tasks_count", whole(count))
            .set("wait_time_ms", whole(ms))
            .set("max_wait_time_ms", whole(ms.div_ceil(count.max(1))))
            .done()
    };
    known.into_iter().chain(none).map(of).collect()
}

/// `sys.server_resource_stats` of a managed instance: the last whole interval.
pub(super) fn resources(env: &Env<'_>, view: &View) -> Vec<Row> {
    let now = env.now().as_second() / INTERVAL_S * INTERVAL_S;
    let at = |second: i64| {
        jiff::Timestamp::from_second(second).map_or(Value::Null, |at| env.datetime(at))
    };
    let resource = env.instance.resource();
    let files = env.world.files(env.at());
    let used: u64 = files.iter().map(|file| file.bytes >> 20).sum();
    let used = crate::sql::decimal::Numeric::new(i128::from(used) * 100, 2);
    let row = row(view)
        .set("start_time", at(now - INTERVAL_S))
        .set("end_time", at(now))
        .set("resource_type", "Managed Instance")
        .set("resource_name", env.instance.name.as_str())
        .set("hardware_generation", "Gen5")
        .set("virtual_core_count", i64::from(resource.v_cores))
        .set("reserved_storage_mb", i64::from(resource.storage_gb) * 1024)
        .set("storage_space_used_mb", Value::Numeric(used));
    vec![row.done()]
}
