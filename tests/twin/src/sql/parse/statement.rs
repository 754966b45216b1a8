//! Statements, each by its first word.

use sqlparser::tokenizer::Token;

use crate::sql::error::{Error, Result};
use crate::sql::statement::{DatabaseAction, GroupAction, Kind, SetUp, Setting, Statement};
use crate::sql::views::CONFIGURATIONS;
use crate::world::setup::Change;

use super::Reader;
use super::token::{is_reserved, is_switch};

impl Reader<'_> {
    pub(super) fn statement(&mut self, into: &mut Vec<Statement>) -> Result<()> {
        let line = self.line();
        let first = match &self.parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            Token::LParen => "SELECT".to_owned(),
            _ => return Err(self.unexpected()),
        };
        let kind = match first.as_str() {
            "SELECT" => Kind::Query(self.query()?),
            "WITH" => self.with()?,
            "DECLARE" => self.declare()?,
            "SET" => self.set()?,
            "USE" => {
                self.parser.next_token();
                Kind::Use(self.name()?)
            }
            "PRINT" => {
                self.parser.next_token();
                Kind::Print(Box::new(self.expression()?))
            }
            "RAISERROR" => self.raiserror()?,
            "THROW" => self.throw()?,
            "IF" => self.condition()?,
            "WHILE" => self.repetition()?,
            "BREAK" | "CONTINUE" => {
                self.parser.next_token();
                if first == "BREAK" { Kind::Break } else { Kind::Continue }
            }
            "WAITFOR" => {
                self.parser.next_token();
                self.expect("DELAY")?;
                Kind::WaitFor(Box::new(self.expression()?))
            }
            "BEGIN" => match self.beginning()? {
                Some(kind) => kind,
                None => return self.block(into),
            },
            "COMMIT" | "ROLLBACK" | "SAVE" => self.transaction_end(&first)?,
            "INSERT" => self.insert()?,
            "UPDATE" => self.update()?,
            "DELETE" => self.delete()?,
            "TRUNCATE" => self.table_statement(&first)?,
            "CREATE" | "ALTER" | "DROP" if self.is_about_tables() => {
                self.table_statement(&first)?
            }
            "RETURN" => {
                self.parser.next_token();
                Kind::Return
            }
            "GRANT" | "DENY" | "REVOKE" | "CREATE" | "DROP" | "DBCC" => self.set_up(&first)?,
            "ALTER" if self.alters_set_up() => self.set_up("ALTER")?,
            "ALTER" => self.alter()?,
            "KILL" => self.kill()?,
            "RECONFIGURE" => self.reconfigure()?,
            "SHUTDOWN" => self.shutdown()?,
            "CHECKPOINT" => self.checkpoint()?,
            "BACKUP" => self.backup()?,
            "RESTORE" => self.restore()?,
            "EXEC" | "EXECUTE" => {
                self.parser.next_token();
                self.execute()?
            }
            // A batch may begin with the name of a procedure.
            _ if self.depth == 0 && into.is_empty() && !is_reserved(&first) => self.execute()?,
            _ => return Err(self.unexpected()),
        };
        into.push(Statement { line, kind });
        Ok(())
    }

    /// What BEGIN begins; nothing if it is a block.
    fn beginning(&mut self) -> Result<Option<Kind>> {
        self.parser.next_token();
        let distributed = self.word("DISTRIBUTED");
        if self.word("TRAN") || self.word("TRANSACTION") {
            self.transaction_name();
            return Ok(Some(Kind::Begin));
        }
        if distributed {
            return Err(self.unexpected());
        }
        if self.word("TRY") { self.attempt().map(Some) } else { Ok(None) }
    }

    /// COMMIT, ROLLBACK and SAVE.
    fn transaction_end(&mut self, first: &str) -> Result<Kind> {
        self.parser.next_token();
        let named = self.word("TRAN") || self.word("TRANSACTION");
        let name = if named { self.transaction_name() } else { None };
        if first == "SAVE" {
            return name.map(Kind::Save).ok_or_else(|| self.unexpected());
        }
        if !named {
            let _ = self.word("WORK");
        }
        Ok(if first == "COMMIT" { Kind::Commit } else { Kind::Rollback(name) })
    }

    pub(super) fn block(&mut self, into: &mut Vec<Statement>) -> Result<()> {
        self.deeper(|reader| {
            loop {
                while reader.parser.consume_token(&Token::SemiColon) {}
                if reader.word("END") {
                    return Ok(());
                }
                reader.statement(into)?;
            }
        })
    }

    fn set(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let Token::Word(word) = &self.parser.peek_token_ref().token else {
            return Err(self.unexpected());
        };
        if word.value.starts_with('@') {
            return self.assign();
        }
        let name = word.value.to_ascii_uppercase();
        self.parser.next_token();
        match name.as_str() {
            "LOCK_TIMEOUT" => return Ok(Kind::LockTimeout(self.whole_number()?)),
            "IDENTITY_INSERT" => {
                let table = self.object_name()?;
                let on = self.word("ON");
                if !on {
                    self.expect("OFF")?;
                }
                return Ok(Kind::IdentityInsert { table, on });
            }
            "TRANSACTION" => {
                self.expect("ISOLATION")?;
                self.expect("LEVEL")?;
                return self.isolation();
            }
            "TEXTSIZE" => return self.setting(Setting::TextSize),
            "DATEFIRST" => return self.setting(Setting::DateFirst),
            "DATEFORMAT" => return self.setting(Setting::DateFormat),
            "LANGUAGE" => return self.setting(Setting::Language),
            "DEADLOCK_PRIORITY" => {
                let _ = self.parser.consume_token(&Token::Minus);
                self.parser.next_token();
            }
            "ROWCOUNT" => {
                // Only the setting that means "all rows" is what the twin does.
                match self.parser.peek_token_ref().token {
                    Token::Number(ref n, _) if n == "0" => self.parser.next_token(),
                    _ => return Err(self.unexpected()),
                };
            }
            _ => {
                // Known switches may be set together: SET ANSI_NULLS, ANSI_PADDING ON.
                if !is_switch(&name) {
                    let text = format!("'{name}' is not a recognized SET option.");
                    return Err(Error::new(195, 15, text).state(5).at_line(self.line()));
                }
                while self.parser.consume_token(&Token::Comma) {
                    self.parser.next_token();
                }
                let changes_results = ["FMTONLY", "NOEXEC", "PARSEONLY"].contains(&name.as_str());
                if !changes_results && self.word("ON") {
                    return Ok(Kind::SetOption { name, on: true });
                }
                if !self.word("OFF") {
                    return Err(self.unexpected());
                }
            }
        }
        Ok(Kind::SetOption { name, on: false })
    }

    fn setting(&mut self, name: Setting) -> Result<Kind> {
        let value = Box::new(self.expression()?);
        Ok(Kind::Setting { name, value })
    }

    /// The level after SET TRANSACTION ISOLATION LEVEL, by its number in `sys.dm_exec_sessions`.
    fn isolation(&mut self) -> Result<Kind> {
        let level = if self.word("READ") {
            if self.word("UNCOMMITTED") {
                1
            } else {
                self.expect("COMMITTED")?;
                2
            }
        } else if self.word("REPEATABLE") {
            self.expect("READ")?;
            3
        } else if self.word("SERIALIZABLE") {
            4
        } else {
            self.expect("SNAPSHOT")?;
            5
        };
        Ok(Kind::Isolation(level))
    }

    fn alter(&mut self) -> Result<Kind> {
        self.parser.next_token();
        if self.word("AVAILABILITY") {
            self.expect("GROUP")?;
            let name = self.name()?;
            let action = if self.word("FAILOVER") {
                GroupAction::Failover
            } else if self.word("FORCE_FAILOVER_ALLOW_DATA_LOSS") {
                GroupAction::ForceFailoverAllowDataLoss
            } else if self.word("SET") {
                self.token(&Token::LParen)?;
                self.expect("ROLE")?;
                self.token(&Token::Eq)?;
                self.expect("SECONDARY")?;
                self.token(&Token::RParen)?;
                GroupAction::SetRoleSecondary
            } else {
                return Err(self.unexpected());
            };
            return Ok(Kind::AlterGroup { name, action });
        }
        if self.word("DATABASE") {
            let name = self.name()?;
            self.expect("SET")?;
            self.expect("HADR")?;
            let action = if self.word("RESUME") {
                DatabaseAction::Resume
            } else if self.word("SUSPEND") {
                DatabaseAction::Suspend
            } else {
                return Err(self.unexpected());
            };
            return Ok(Kind::AlterDatabase { name, action });
        }
        Err(self.unexpected())
    }

    /// RECONFIGURE, which takes whatever value was allowed.
    fn reconfigure(&mut self) -> Result<Kind> {
        self.parser.next_token();
        if self.word("WITH") {
            self.expect("OVERRIDE")?;
        }
        let dynamic = CONFIGURATIONS.iter().filter(|own| own.dynamic).map(|own| own.id);
        let changes = vec![Change::Reconfigure(dynamic.collect())];
        Ok(Kind::SetUp(SetUp { words: "RECONFIGURE".to_owned(), changes }))
    }

    fn checkpoint(&mut self) -> Result<Kind> {
        self.parser.next_token();
        // How many seconds it may take.
        if matches!(self.parser.peek_token_ref().token, Token::Number(..)) {
            self.whole_number()?;
        }
        Ok(Kind::Checkpoint)
    }

    fn shutdown(&mut self) -> Result<Kind> {
        self.parser.next_token();
        if self.word("WITH") {
            self.expect("NOWAIT")?;
        }
        Ok(Kind::Shutdown)
    }

    fn kill(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let negative = self.parser.consume_token(&Token::Minus);
        let number = match &self.parser.peek_token_ref().token {
            Token::Number(digits, _) => digits.parse::<i64>().ok(),
            _ => None,
        };
        let Some(number) = number else { return Err(self.unexpected()) };
        self.parser.next_token();
        let status_only = self.word("WITH");
        if status_only {
            self.expect("STATUSONLY")?;
        }
        Ok(Kind::Kill { session: if negative { -number } else { number }, status_only })
    }
}
