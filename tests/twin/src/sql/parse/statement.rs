//! Statements, each by its first word.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use crate::sql::error::{Error, Result};
use crate::sql::statement::{DatabaseAction, Declaration, GroupAction, Kind, Raise, Statement};

use super::token::is_switch;
use super::{Reader, is_word};

impl Reader<'_> {
    pub(super) fn statement(&mut self, into: &mut Vec<Statement>) -> Result<()> {
        let line = self.line();
        let first = match &self.parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            Token::LParen => "SELECT".to_owned(),
            _ => return Err(self.unexpected()),
        };
        let kind = match first.as_str() {
            "SELECT" | "WITH" => {
                let parsed = self.parser.parse_query();
                Kind::Query(self.known(parsed)?)
            }
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
            "WAITFOR" => {
                self.parser.next_token();
                self.expect("DELAY")?;
                Kind::WaitFor(Box::new(self.expression()?))
            }
            "BEGIN" => {
                self.parser.next_token();
                if self.word("TRAN") || self.word("TRANSACTION") {
                    self.transaction_name();
                    Kind::Begin
                } else {
                    return self.block(into);
                }
            }
            "COMMIT" | "ROLLBACK" => {
                self.parser.next_token();
                if self.word("TRAN") || self.word("TRANSACTION") || self.word("WORK") {
                    self.transaction_name();
                }
                if first == "COMMIT" { Kind::Commit } else { Kind::Rollback }
            }
            "RETURN" => {
                self.parser.next_token();
                Kind::Return
            }
            "GRANT" | "DENY" | "REVOKE" | "CREATE" | "DROP" | "DBCC" => self.set_up(&first)?,
            "ALTER" if self.alters_set_up() => self.set_up("ALTER")?,
            "ALTER" => self.alter()?,
            "KILL" => self.kill()?,
            "BACKUP" => self.backup()?,
            "RESTORE" => self.restore()?,
            "EXEC" | "EXECUTE" => {
                self.parser.next_token();
                self.execute()?
            }
            _ => return Err(self.unexpected()),
        };
        into.push(Statement { line, kind });
        Ok(())
    }

    fn block(&mut self, into: &mut Vec<Statement>) -> Result<()> {
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

    fn declare(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let mut declarations = Vec::new();
        loop {
            let name = self.variable_name()?;
            let _ = self.word("AS");
            let ty = self.data_type()?;
            let value =
                if self.parser.consume_token(&Token::Eq) { Some(self.expression()?) } else { None };
            declarations.push(Declaration { name, ty, value });
            if !self.parser.consume_token(&Token::Comma) {
                return Ok(Kind::Declare(declarations));
            }
        }
    }

    fn set(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let Token::Word(word) = &self.parser.peek_token_ref().token else {
            return Err(self.unexpected());
        };
        if word.value.starts_with('@') {
            let name = self.variable_name()?;
            if !self.parser.consume_token(&Token::Eq) {
                return Err(self.unexpected());
            }
            return Ok(Kind::SetVariable { name, value: Box::new(self.expression()?) });
        }
        let mut name = word.value.to_ascii_uppercase();
        self.parser.next_token();
        match name.as_str() {
            "TRANSACTION" => {
                self.expect("ISOLATION")?;
                self.expect("LEVEL")?;
                let level = ["READ", "REPEATABLE", "SNAPSHOT", "SERIALIZABLE"];
                if !level.iter().any(|level| self.word(level)) {
                    return Err(self.unexpected());
                }
                let _ = ["COMMITTED", "UNCOMMITTED", "READ"].iter().any(|rest| self.word(rest));
                name.push_str(" ISOLATION LEVEL");
            }
            "TEXTSIZE" | "LOCK_TIMEOUT" | "DATEFIRST" | "DATEFORMAT" | "LANGUAGE"
            | "DEADLOCK_PRIORITY" => {
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

    fn raiserror(&mut self) -> Result<Kind> {
        self.parser.next_token();
        self.token(&Token::LParen)?;
        let text = self.expression()?;
        self.token(&Token::Comma)?;
        let severity = Some(self.expression()?);
        self.token(&Token::Comma)?;
        let state = self.expression()?;
        self.token(&Token::RParen)?;
        if self.word("WITH") {
            let known = ["NOWAIT", "LOG", "SETERROR"];
            if !known.iter().any(|option| self.word(option)) {
                return Err(self.unexpected());
            }
        }
        Ok(Kind::Raise(Box::new(Raise { number: None, text, severity, state })))
    }

    fn throw(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let number = Some(self.expression()?);
        self.token(&Token::Comma)?;
        let text = self.expression()?;
        self.token(&Token::Comma)?;
        let state = self.expression()?;
        Ok(Kind::Raise(Box::new(Raise { number, text, severity: None, state })))
    }

    fn condition(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let condition = Box::new(self.expression()?);
        let then = self.branch()?;
        // A semicolon may stand before ELSE.
        let ahead = self.parser.peek_nth_token(1).token;
        if self.parser.peek_token_ref().token == Token::SemiColon && is_word(&ahead, "ELSE") {
            self.parser.next_token();
        }
        let otherwise = if self.word("ELSE") { self.branch()? } else { Vec::new() };
        Ok(Kind::If { condition, then, otherwise })
    }

    fn branch(&mut self) -> Result<Vec<Statement>> {
        self.deeper(|reader| {
            let mut statements = Vec::new();
            reader.statement(&mut statements)?;
            Ok(statements)
        })
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

    fn execute(&mut self) -> Result<Kind> {
        let parsed = self.parser.parse_object_name(false);
        let name = self.known(parsed)?;
        let mut arguments = Vec::new();
        let ends = |token: &Token| match token {
            Token::EOF | Token::SemiColon => true,
            Token::Word(word) => word.quote_style.is_none() && !word.value.starts_with('@'),
            _ => false,
        };
        while !ends(&self.parser.peek_token_ref().token) {
            let named = self.parser.peek_nth_token(1).token == Token::Eq;
            let parameter = if named {
                let parameter = self.variable_name()?;
                self.token(&Token::Eq)?;
                Some(parameter)
            } else {
                None
            };
            arguments.push((parameter, self.expression()?));
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        let parts: Vec<&str> = name
            .0
            .iter()
            .filter_map(|part| part.as_ident())
            .map(|ident| ident.value.as_str())
            .collect();
        Ok(Kind::Execute { name: parts.join("."), arguments })
    }

    fn transaction_name(&mut self) {
        let token = self.parser.peek_token_ref().token.clone();
        if let Token::Word(word) = token
            && (word.quote_style.is_some() || word.keyword == Keyword::NoKeyword)
        {
            self.parser.next_token();
        }
    }
}
