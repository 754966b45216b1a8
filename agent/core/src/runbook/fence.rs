//! What keeps an old primary from taking writes.

use alloc::format;

use super::{Writer, queries::Question};
use crate::names::Side;

impl Writer<'_> {
    pub(super) fn fence(&mut self) {
        self.page.title(2, "8. Keep an old primary from taking writes");
        self.page.text("In this order until one holds; then prove it from the outside: roles (part 2), and no application gets a write through.");
        self.fence_sql_server();
        self.fence_managed_instance();
        self.page.title(3, "What is no fence");
        self.page.item("Stopping the primary of a group alone: its cluster makes another replica primary, and that one takes writes.");
        self.page.item("READ_ONLY and SINGLE_USER are refused (1468).");
        self.page.item("Stopping the endpoint stops replication, not writes.");
        self.page.item("Dropping the group or deleting the link leaves the database READ_WRITE.");
        self.page.item("Disabled logins hit other databases, and sysadmins, jobs and Windows groups slip through. DENY, users and triggers in the database are replicated to the winner.");
    }

    fn fence_sql_server(&mut self) {
        let server = self.name(Side::SqlServer);
        self.page.title(3, &format!("{server}, SQL Server"));
        self.page.step("REPLICAS on each server of it that answers: who is in its group, and cluster_type_desc. WSFC or EXTERNAL: a cluster makes another replica primary by itself when one stops. So it is all of them that have to be kept from writing.");
        let replicas = self.replicas();
        if replicas.is_empty() {
            self.page.text("The configuration knows of one server only. If REPLICAS names more, they all count in what follows.");
        } else {
            self.page.text("By the configuration these; write down the role of each:");
            for replica in &replicas {
                self.page
                    .item(&format!("{replica}   role: ______________  stopped at: __________"));
            }
        }
        let kills = self.ask(Question::Kills, &[Side::SqlServer]);
        self.page.step(&format!("Stop the applications; end who is left: {kills}."));
        self.page.step(
            "If it can be reached and what only it has is saved: make it the secondary (part 7). The link's role is that of the whole group, so this holds for every replica.",
        );
        self.page.step("Else, with cluster_type_desc WSFC or EXTERNAL: take the group offline in the cluster, on any node that has quorum. The cluster then brings it up nowhere until it is told to. <GROUP> is the name that REPLICAS gives. On Windows, or with Pacemaker (UNCONFIRMED for a link):");
        self.page.code(
            "text",
            "Stop-ClusterGroup -Name '<GROUP>'\npcs resource disable <RESOURCE OF THE GROUP>",
        );
        self.page.text("Then REPLICAS on every replica: none is PRIMARY. A node cut off from its cluster is not reached by this: stop it too, as follows.");
        self.stop_services(&replicas);
        self.page.step("Or close the port of EACH replica and of the listener for everybody but yourself, at the host or the network in front of it; or cut their power, secondaries first.");
        self.page.item("With cluster_type_desc NONE only, on the primary of the group: ALTER AVAILABILITY GROUP <LOCAL GROUP> OFFLINE takes it to RESOLVING, and every access fails with 983 until the service is restarted. It is refused with WSFC and EXTERNAL. Seen with a plain group; UNCONFIRMED under a link. Two people should agree to it.");
    }

    fn stop_services(&mut self, replicas: &[alloc::string::String]) {
        if replicas.len() > 1 {
            self.page.step("Or stop the service on ALL replicas: the SECONDARIES FIRST, the primary LAST. If the primary goes first another one takes over and takes writes. And keep each from starting by itself.");
        } else {
            self.page.step("Or stop the service and keep it from starting by itself. If there are other replicas: on ALL of them, the SECONDARIES FIRST, the primary LAST.");
        }
        self.page.text("On Windows (MSSQL$NAME for a named instance), or on Linux; an instance that is itself a cluster role (FCI) is taken offline in the cluster, which would start its service again:");
        self.page.code(
            "powershell",
            "Set-Service MSSQLSERVER -StartupType Disabled\nStop-Service MSSQLSERVER -Force",
        );
        self.page.code("sh", "systemctl disable --now mssql-server");
        for (place, replica) in replicas.iter().enumerate() {
            if place == 0 {
                self.page.text("Tick off each, the primary last:");
            }
            self.page.step(&format!("{replica} is stopped, and does not answer."));
        }
    }

    fn fence_managed_instance(&mut self) {
        let managed = self.name(Side::ManagedInstance);
        self.page.title(3, &format!("{managed}, managed instance"));
        let kills = self.ask(Question::Kills, &[Side::ManagedInstance]);
        self.page.step(&format!("Stop the applications; end who is left: {kills}."));
        self.page.step(
            "If it can be reached and what only it has is saved: make it the secondary (part 7).",
        );
        self.page.step("Else close ports 1433 and 11000 to 11999 for the applications in the network security group of its subnet. It can't be stopped while it has a link. (5022 and 11000 to 11999 from SQL Server are the link: leave them to it.)");
    }
}
