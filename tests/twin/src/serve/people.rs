//! Who may come: logins of the instances, applications of the tenant, accounts of the domain. All
//! secrets are throw-away ones, made at start.

use std::collections::BTreeMap;

use super::LoginEndpoint;
use crate::{
    arm,
    sql::{External, Login},
    world::{Directory, Party, World},
};

/// The domain's short name.
const DOMAIN: &str = "TWIN";
/// What is known to all instances: an account that may do everything, one that may watch.
const AGENT: &str = "dr_agent";
const WATCHING: &str = "dr_watch";

/// Everybody, with their secrets.
pub(super) struct People {
    pub(super) tenant: String,
    /// The agent's application, and the machine's identity.
    pub(super) client_id: String,
    pub(super) machine_id: String,
    pub(super) client_secret: String,
    /// Of the accounts.
    passwords: [String; 2],
    own: Vec<Login>,
}

impl People {
    /// For the agent, the operator and each application of a world.
    pub(super) fn of(world: &World) -> People {
        let login = |user: &str, party: Party| Login { party, ..Login::sysadmin(user, &secret()) };
        let applications = world
            .workloads()
            .map(|workload| login(&workload.name, Party::Application(workload.name.clone())));
        let own = [login(AGENT, Party::Agent), login("operator", Party::Operator)]
            .into_iter()
            .chain(applications)
            .chain([Login::watching(WATCHING, &secret())])
            .collect();
        People {
            tenant: guid(),
            client_id: guid(),
            machine_id: guid(),
            client_secret: secret(),
            passwords: [secret(), secret()],
            own,
        }
    }

    /// Every login of an instance.
    pub(super) fn logins(&self) -> Vec<Login> {
        let mut all = self.own.clone();
        let application = External::Application;
        all.extend([
            Login::sysadmin(&account(AGENT), "").known_by(External::Windows),
            Login::watching(&account(WATCHING), "").known_by(External::Windows),
            Login::sysadmin("dr-agent", "").known_by(application(self.client_id.clone())),
            Login::watching("sql-machine", "").known_by(application(self.machine_id.clone())),
        ]);
        all
    }

    /// The agent's own login.
    pub(super) fn agent(&self) -> LoginEndpoint {
        let found = self.own.iter().find(|login| login.name == AGENT);
        let password = found.map(|login| login.password.clone()).unwrap_or_default();
        LoginEndpoint { user: AGENT.to_owned(), password }
    }

    /// All logins but that.
    pub(super) fn others(&self) -> BTreeMap<String, LoginEndpoint> {
        let others = self.own.iter().filter(|login| login.name != AGENT).map(|login| {
            let name = if login.name == WATCHING {
                "watching".to_owned()
            } else {
                login.party.to_string()
            };
            let (user, password) = (login.name.clone(), login.password.clone());
            (name, LoginEndpoint { user, password })
        });
        let windows = [("windows", AGENT), ("windows:watching", WATCHING)];
        let windows = windows.into_iter().zip(&self.passwords).map(|((name, user), password)| {
            let login = LoginEndpoint { user: account(user), password: password.clone() };
            (name.to_owned(), login)
        });
        others.chain(windows).collect()
    }

    /// The tenant and the domain; where the token service is has still to be said.
    pub(super) fn directory(&self) -> Directory {
        let mut directory = Directory::default();
        directory.tenant.clone_from(&self.tenant);
        DOMAIN.clone_into(&mut directory.domain);
        fastrand::fill(&mut directory.key);
        directory.add_application(&self.client_id, Some(&self.client_secret));
        directory.add_application(&self.machine_id, None);
        for (user, password) in [AGENT, WATCHING].into_iter().zip(&self.passwords) {
            directory.add_account(user, password);
        }
        directory
    }
}

fn account(user: &str) -> String {
    format!("{DOMAIN}\\{user}")
}

pub(super) fn guid() -> String {
    arm::new_guid().to_string()
}

/// Good enough for a login that exists on loopback for as long as this process.
pub(super) fn secret() -> String {
    let rest: String = (0..24).map(|_| fastrand::alphanumeric()).collect();
    format!("Tw1n-{rest}")
}
