//! One look at an instance by way of TDS, for all its links at once.

use std::time::Duration;

use agent_core::{LinkId, Seen, Vantage};
use tiberius::{Row, ToSql};

use super::{error::TdsError, reading, rows, session::Session};
use crate::{target::InstanceTarget, watch::Look};

/// The eye on one instance; it keeps its connection between looks.
#[derive(Debug)]
pub struct InstanceLook {
    target: InstanceTarget,
    session: Session,
    sql: String,
}

impl InstanceLook {
    #[must_use]
    pub fn new(target: InstanceTarget) -> Self {
        let session = Session::new(target.endpoint.clone());
        let sql = sql(target.links.len());
        Self { target, session, sql }
    }

    #[must_use]
    pub fn target(&self) -> &InstanceTarget {
        &self.target
    }

    async fn ask(&mut self, limit: Duration) -> Result<reading::Answer, TdsError> {
        let nonce = fastrand::i64(..);
        let mut parameters: Vec<&dyn ToSql> = vec![&nonce];
        for link in &self.target.links {
            parameters.push(&link.database);
        }
        let read = |results: &[Vec<Row>]| rows::answer(results, nonce);
        self.session.ask(&self.sql, &parameters, limit, read).await
    }
}

impl Look for InstanceLook {
    fn vantage(&self) -> Vantage {
        self.target.side.into()
    }

    async fn look(&mut self, limit: Duration) -> Vec<(LinkId, Seen)> {
        let answer = self.ask(limit).await;
        let each = self.target.links.iter().map(|target| {
            let seen = match &answer {
                Ok(answer) => reading::seen(answer, target),
                Err(error) => Seen::Silence(error.silence()),
            };
            (target.link.clone(), seen)
        });
        each.collect()
    }
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
