//! One look at an instance by way of TDS, for all its links at once.

use std::{collections::BTreeMap, time::Duration};

use agent_core::{LinkId, Seen, Side, Vantage};
use futures_util::future::join_all;
use tiberius::{Row, ToSql};

use super::{
    error::TdsError,
    reading, rows,
    session::{Session, TdsEndpoint},
    side,
};
use crate::{
    target::{InstanceTarget, LinkTarget},
    watch::Look,
};

/// The eye on one instance, or on all replicas of one; it keeps its connections between looks.
#[derive(Debug)]
pub struct InstanceLook {
    target: InstanceTarget,
    /// One for each way to it.
    sessions: Vec<Session>,
    /// Of each link, the way to the server that spoke for the side at the last look.
    spoke: BTreeMap<LinkId, usize>,
    sql: String,
}

impl InstanceLook {
    #[must_use]
    pub fn new(target: InstanceTarget) -> Self {
        let ways = target.ways();
        let sessions = ways.into_iter().map(|(_, endpoint)| Session::new(endpoint.clone()));
        let sessions = sessions.collect();
        let sql = sql(target.links.len());
        Self { target, sessions, spoke: BTreeMap::new(), sql }
    }

    #[must_use]
    pub fn target(&self) -> &InstanceTarget {
        &self.target
    }

    /// The server that spoke for the side at the last look: the one instance, or the replica that
    /// was primary of the side's own group. None where nobody did.
    #[must_use]
    pub fn speaker(&self, link: &LinkId) -> Option<&TdsEndpoint> {
        self.sessions.get(self.speaker_at(link)?).map(Session::endpoint)
    }

    /// Its place among [`InstanceTarget::ways`].
    #[must_use]
    pub fn speaker_at(&self, link: &LinkId) -> Option<usize> {
        self.spoke.get(link).copied()
    }
}

impl Look for InstanceLook {
    fn vantage(&self) -> Vantage {
        self.target.side.into()
    }

    async fn look(&mut self, limit: Duration) -> Vec<(LinkId, Seen)> {
        let (sql, links) = (&self.sql, &self.target.links);
        let asked = self.sessions.iter_mut().map(|session| ask(session, sql, links, limit));
        let answers = join_all(asked).await;
        let ways = self.target.ways();
        let mut all = Vec::new();
        for target in &self.target.links {
            let said = ways.iter().zip(&answers).map(|((name, _), answer)| {
                let mut told = match answer {
                    Ok(answer) => reading::told(answer, target),
                    Err(error) => Err(error.silence()),
                };
                // A managed instance leads to its primary by itself, and what its views say of
                // the groups inside of it is its own affair.
                if let (Ok(told), Side::ManagedInstance) = (&mut told, self.target.side) {
                    told.local = None;
                }
                (*name, told)
            });
            let (seen, at) = side::seen(said.collect(), self.target.listener);
            match at {
                Some(at) => self.spoke.insert(target.link.clone(), at),
                None => self.spoke.remove(&target.link),
            };
            all.push((target.link.clone(), seen));
        }
        all
    }
}

async fn ask(
    session: &mut Session,
    sql: &str,
    links: &[LinkTarget],
    limit: Duration,
) -> Result<reading::Answer, TdsError> {
    let nonce = fastrand::i64(..);
    let mut parameters: Vec<&dyn ToSql> = vec![&nonce];
    for link in links {
        parameters.push(&link.database);
    }
    let read = |results: &[Vec<Row>]| rows::answer(results, nonce);
    session.ask(sql, &parameters, limit, read).await
}

/// The three questions in one batch, with a parameter for the database of each link.
fn sql(links: usize) -> String {
    let names: Vec<_> = (0..links).map(|at| format!("@P{}", at + 2)).collect();
    // Without a link no database is asked for, and `IN ()` would be no SQL.
    let names = if names.is_empty() { "NULL".to_owned() } else { names.join(", ") };
    let databases = include_str!("sql/databases.sql").replace("({names})", &format!("({names})"));
    [include_str!("sql/server.sql"), include_str!("sql/groups.sql"), &databases].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_has_its_parameter() {
        assert!(sql(3).contains("db.name IN (@P2, @P3, @P4)"));
        assert!(sql(0).contains("db.name IN (NULL)"));
        assert_eq!(sql(1).matches("AS nonce").count(), 3);
    }
}
