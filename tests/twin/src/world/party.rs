//! Who talks to whom.

use std::{convert::Infallible, fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An end of a network path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// Whoever watches and acts from outside: the default for a client that does not say more.
    Agent,
    /// An administrator at a terminal.
    Operator,
    /// A SQL Server or managed instance, by name.
    Instance(String),
    /// Azure Resource Manager.
    Arm,
    /// The token service of Entra, and the managed identity endpoint.
    TokenService,
    /// An application, by the name of its workload.
    Application(String),
}

/// Who asks for something, for the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The end of the path from which the request came.
    pub party: Party,
    /// The login or client id.
    pub login: String,
    /// The program name of LOGIN7, or the user agent.
    pub program: String,
    /// The session on the instance, if there is one.
    pub session: Option<u16>,
    /// Where its connection comes from, if it came over one.
    pub address: Option<SocketAddr>,
}

impl Origin {
    /// An origin without a session, for tests and simulations.
    #[must_use]
    pub fn new(party: Party, login: &str, program: &str) -> Origin {
        let (login, program) = (login.to_owned(), program.to_owned());
        Origin { party, login, program, session: None, address: None }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Agent => f.write_str("agent"),
            Party::Operator => f.write_str("operator"),
            Party::Arm => f.write_str("arm"),
            Party::TokenService => f.write_str("token-service"),
            Party::Instance(name) => f.write_str(name),
            Party::Application(name) => write!(f, "app:{name}"),
        }
    }
}

impl FromStr for Party {
    type Err = Infallible;

    /// `agent`, `operator`, `arm`, `token-service`, `app:NAME`; any other word is an instance.
    fn from_str(text: &str) -> Result<Party, Infallible> {
        Ok(match text {
            "agent" => Party::Agent,
            "operator" => Party::Operator,
            "arm" => Party::Arm,
            "token-service" => Party::TokenService,
            other => match other.strip_prefix("app:") {
                Some(name) => Party::Application(name.to_owned()),
                None => Party::Instance(other.to_owned()),
            },
        })
    }
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Party {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Party, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|never: Infallible| match never {})
    }
}
