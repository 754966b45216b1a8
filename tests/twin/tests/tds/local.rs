//! An availability group with two replicas and a listener over the wire: who is who there, who
//! lets whom in, and where the listener leads.

use tempfile::TempDir;
use tiberius::{AuthMethod, Config, EncryptionLevel};
use twin::serve::{SqlEndpoint, Twin, TwinOptions};
use twin::world::{Fault, WorldSpec};

use crate::door::{Connection, LINK, PATIENCE, SQL, code, connect, number, rows, text, until};

const B: &str = "sql01b";
const LISTENER: &str = "sql01-l";

const NAME: &str = "SELECT @@SERVERNAME";

const LOCAL_ROLE: &str = "SELECT rs.role_desc FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
WHERE rs.is_local = 1 AND ag.is_distributed = 0;";

const ROLE: &str = "SELECT rs.role_desc FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
WHERE rs.is_local = 1 AND ag.is_distributed = 1 AND ag.name = N'LinkSales';";

const REPLICAS: &str =
    "SELECT ar.replica_server_name + N' ' + rs.role_desc + N' ' + rs.connected_state_desc
    + N' ' + ar.availability_mode_desc + N' ' + ar.failover_mode_desc + N' ' + ag.cluster_type_desc
FROM sys.availability_groups ag JOIN sys.availability_replicas ar ON ag.group_id = ar.group_id
JOIN sys.dm_hadr_availability_replica_states rs ON ar.replica_id = rs.replica_id
WHERE ag.is_distributed = 0 ORDER BY ar.replica_server_name";

/// Rows of the local group, by the server that says it: its own and others.
const DATABASES: &str = "SELECT SUM(CAST(drs.is_local AS int)) * 10 + COUNT(*)
FROM sys.dm_hadr_database_replica_states drs JOIN sys.availability_groups ag ON ag.group_id = drs.group_id
WHERE ag.is_distributed = 0";

struct Group {
    twin: Twin,
    directory: TempDir,
}

impl Group {
    async fn open() -> Group {
        let mut spec = WorldSpec::default();
        let mut second = spec.instances[0].clone();
        second.name = B.to_owned();
        second.server_name = "SQL01B".to_owned();
        spec.instances.push(second);
        let local = "listener = \"sql01-l\"\nreplicas = [{ instance = \"sql01b\" }]";
        spec.links[0].local = Some(toml::from_str(local).expect("keys of a local group"));
        spec.workloads[0].target = LISTENER.to_owned();
        let directory = tempfile::tempdir().expect("a directory");
        let options =
            TwinOptions { spec, seed: 7, speed: 10.0, directory: directory.path().to_owned() };
        let twin = Twin::start(options).await.expect("all doors open");
        Group { twin, directory }
    }

    fn fault(&self, fault: Fault) {
        self.twin.world.with(|world| world.fault(fault)).expect("it names what exists");
        self.twin.world.wake();
    }

    async fn try_login(&self, at: &SqlEndpoint, database: &str) -> tiberius::Result<Connection> {
        let mut config = Config::new();
        config.host(&at.host);
        config.port(at.port);
        config.database(database);
        config.authentication(AuthMethod::sql_server(&at.user, &at.password));
        config.encryption(EncryptionLevel::Required);
        config.trust_cert_ca(self.directory.path().join("ca.pem").display());
        config.handshake_timeout(Some(PATIENCE));
        config.command_timeout(Some(PATIENCE));
        connect(config).await
    }

    async fn login(&self, name: &str) -> Connection {
        let endpoints = &self.twin.endpoints;
        let at = endpoints.instances.get(name).or_else(|| endpoints.listeners.get(name));
        self.try_login(at.expect("a door"), "master").await.expect("a login")
    }

    /// Connects by the listener until somebody is behind it.
    async fn by_listener(&self) -> Connection {
        let at = &self.twin.endpoints.listeners[LISTENER];
        let wait = async {
            loop {
                if let Ok(client) = self.try_login(at, "Sales").await {
                    return client;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("somebody is primary again")
    }
}

#[tokio::test]
async fn each_replica_is_a_server_of_its_own_and_the_listener_leads_to_the_primary_one() {
    let group = Group::open().await;
    let (mut a, mut b) = (group.login(SQL).await, group.login(B).await);
    assert_eq!(text(&mut a, NAME).await, "SQL01");
    assert_eq!(text(&mut b, NAME).await, "SQL01B");
    let mut listener = group.by_listener().await;
    assert_eq!(text(&mut listener, NAME).await, "SQL01");
    for (client, local) in [(&mut a, "PRIMARY"), (&mut b, "SECONDARY")] {
        assert_eq!(text(client, LOCAL_ROLE).await, local);
        assert_eq!(text(client, ROLE).await, "PRIMARY");
    }
    let shown = rows(&mut a, REPLICAS).await.expect("it answers");
    let shown: Vec<&str> =
        shown.iter().map(|row| row.get::<&str, _>(0).expect("not NULL")).collect();
    assert_eq!(
        shown,
        [
            "SQL01 PRIMARY CONNECTED SYNCHRONOUS_COMMIT AUTOMATIC WSFC",
            "SQL01B SECONDARY CONNECTED SYNCHRONOUS_COMMIT AUTOMATIC WSFC",
        ]
    );
    assert_eq!(rows(&mut b, REPLICAS).await.expect("it answers").len(), 1, "its own row only");
    assert_eq!(number(&mut a, DATABASES).await, 12, "its own row and the other's");
    assert_eq!(number(&mut b, DATABASES).await, 11, "its own row");
    let endpoint = &group.twin.endpoints.instances[B];
    let refused = group.try_login(endpoint, "Sales").await.map(|_| ());
    assert_eq!(code(refused), 976);
}

#[tokio::test]
async fn a_local_failover_moves_the_listener_and_commands_go_to_the_new_primary_replica() {
    let group = Group::open().await;
    let (mut a, mut b) = (group.login(SQL).await, group.login(B).await);
    let mut listener = group.by_listener().await;
    group.fault(Fault::LocalFailover { link: LINK.into(), to: None, ms: Some(20_000) });
    until(&mut a, LOCAL_ROLE, "RESOLVING").await;
    until(&mut b, ROLE, "RESOLVING").await;
    let endpoint = &group.twin.endpoints.instances[SQL];
    assert_eq!(code(group.try_login(endpoint, "Sales").await.map(|_| ())), 983);
    rows(&mut listener, NAME).await.expect_err("connections by the listener end");
    let door = &group.twin.endpoints.listeners[LISTENER];
    group.try_login(door, "master").await.map(|_| ()).expect_err("nobody is behind it");
    let mut listener = group.by_listener().await;
    assert_eq!(text(&mut listener, NAME).await, "SQL01B");
    until(&mut a, LOCAL_ROLE, "SECONDARY").await;
    until(&mut b, LOCAL_ROLE, "PRIMARY").await;
    let failover = format!("ALTER AVAILABILITY GROUP [{LINK}] FAILOVER");
    assert_eq!(code(rows(&mut a, &failover).await), 41_140);
    let healthy = "SELECT synchronization_health_desc FROM sys.dm_hadr_availability_replica_states rs \
                   JOIN sys.availability_groups ag ON ag.group_id = rs.group_id \
                   WHERE ag.is_distributed = 1 AND rs.is_local = 0 UNION ALL SELECT N'none'";
    until(&mut b, healthy, "HEALTHY").await;
    listener.simple_query(failover).await.expect("sent").into_results().await.expect("taken");
    until(&mut b, ROLE, "SECONDARY").await;
    let (loss, intervals) = group
        .twin
        .world
        .with(|world| (world.loss(LINK).expect("a link"), world.ledger().intervals(LINK).to_vec()));
    assert!(loss.count == 0 && loss.acknowledged > 20, "{loss:?}");
    assert!(intervals.iter().all(|interval| interval.writers.count() < 2), "{intervals:?}");
}

#[tokio::test]
async fn a_replica_that_dies_hands_over_and_returns_behind_the_other() {
    let group = Group::open().await;
    let mut b = group.login(B).await;
    group.fault(Fault::Restart { instance: SQL.into(), down_ms: 30_000 });
    until(&mut b, LOCAL_ROLE, "RESOLVING").await;
    until(&mut b, LOCAL_ROLE, "PRIMARY").await;
    let wait = async {
        loop {
            if let Ok(client) =
                group.try_login(&group.twin.endpoints.instances[SQL], "master").await
            {
                return client;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut a = tokio::time::timeout(PATIENCE, wait).await.expect("it starts again");
    until(&mut a, LOCAL_ROLE, "SECONDARY").await;
    assert_eq!(group.twin.world.with(|world| world.loss(LINK)).expect("a link").count, 0);
}
