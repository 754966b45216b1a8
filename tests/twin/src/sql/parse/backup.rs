//! BACKUP and the forms of RESTORE that only look.

use sqlparser::ast;
use sqlparser::tokenizer::Token;

use crate::sql::error::{Error, Result};
use crate::sql::statement::{BackupStatement, DeviceName, Kind, RestoreAction, RestoreStatement};

use super::Reader;

/// Stripes of one backup at most.
const MAX_DEVICES: usize = 64;

impl Reader<'_> {
    pub(super) fn backup(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let log = if self.word("LOG") {
            true
        } else {
            self.expect("DATABASE")?;
            false
        };
        let database = self.text_or_name()?;
        self.expect("TO")?;
        let mut devices = vec![self.device()?];
        while self.parser.consume_token(&Token::Comma) {
            devices.push(self.device()?);
        }
        if devices.len() > MAX_DEVICES {
            let text = format!(
                "Too many backup devices specified for backup or restore; only {MAX_DEVICES} are allowed."
            );
            return Err(Error::new(3_205, 16, text));
        }
        let mut statement = BackupStatement {
            log,
            database,
            devices,
            copy_only: false,
            checksums: false,
            compressed: false,
            overwrite: false,
            name: None,
            stats: None,
        };
        if self.word("WITH") {
            self.option(&mut statement)?;
            while self.parser.consume_token(&Token::Comma) {
                self.option(&mut statement)?;
            }
        }
        Ok(Kind::Backup(Box::new(statement)))
    }

    pub(super) fn restore(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let what = if self.word("VERIFYONLY") {
            RestoreAction::Verify
        } else if self.word("HEADERONLY") {
            RestoreAction::Header
        } else if self.word("FILELISTONLY") {
            RestoreAction::FileList
        } else {
            return self.restore_database();
        };
        self.expect("FROM")?;
        let device = self.device()?;
        if self.word("WITH") {
            loop {
                let line = self.line();
                let option = self.name()?.to_ascii_uppercase();
                let known = ["CHECKSUM", "NO_CHECKSUM", "NOUNLOAD", "LOADHISTORY", "FILE", "STATS"];
                if !known.contains(&option.as_str()) {
                    return Err(unknown_option(&option, "RESTORE", line));
                }
                if self.parser.consume_token(&Token::Eq) {
                    self.whole()?;
                }
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
        }
        Ok(Kind::Restore { what, device: Box::new(device) })
    }

    /// RESTORE DATABASE and RESTORE LOG.
    fn restore_database(&mut self) -> Result<Kind> {
        let log = self.word("LOG");
        if !log {
            self.expect("DATABASE")?;
        }
        let database = self.text_or_name()?;
        let device = if self.word("FROM") { Some(self.device()?) } else { None };
        let mut statement = RestoreStatement {
            log,
            database,
            device,
            position: 1,
            moves: Vec::new(),
            no_recovery: false,
            replace: false,
            stats: None,
            options: false,
        };
        if self.word("WITH") {
            statement.options = true;
            loop {
                self.restore_option(&mut statement)?;
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
        }
        Ok(Kind::RestoreDatabase(Box::new(statement)))
    }

    fn restore_option(&mut self, statement: &mut RestoreStatement) -> Result<()> {
        let line = self.line();
        let Token::Word(word) = self.parser.peek_token_ref().token.clone() else {
            return Err(self.unexpected());
        };
        self.parser.next_token();
        let option = word.value.to_ascii_uppercase();
        match option.as_str() {
            "MOVE" => {
                let name = self.expression()?;
                self.expect("TO")?;
                let path = self.expression()?;
                statement.moves.push((name, path));
            }
            "RECOVERY" => statement.no_recovery = false,
            "NORECOVERY" => statement.no_recovery = true,
            "REPLACE" => statement.replace = true,
            "FILE" => {
                self.token(&Token::Eq)?;
                statement.position = u32::try_from(self.whole()?).unwrap_or(0);
            }
            "STATS" => {
                let every = if self.parser.consume_token(&Token::Eq) { self.whole()? } else { 10 };
                statement.stats = Some(u8::try_from(every.clamp(1, 100)).unwrap_or(10));
            }
            "BUFFERCOUNT" | "BLOCKSIZE" | "MAXTRANSFERSIZE" => {
                self.token(&Token::Eq)?;
                self.whole()?;
            }
            "CHECKSUM"
            | "NO_CHECKSUM"
            | "STOP_ON_ERROR"
            | "CONTINUE_AFTER_ERROR"
            | "NOUNLOAD"
            | "UNLOAD"
            | "NOREWIND"
            | "REWIND"
            | "RESTART"
            | "KEEP_REPLICATION" => {}
            _ => return Err(unknown_option(&option, "RESTORE", line)),
        }
        Ok(())
    }

    fn option(&mut self, statement: &mut BackupStatement) -> Result<()> {
        let line = self.line();
        let option = self.name()?.to_ascii_uppercase();
        match option.as_str() {
            "COPY_ONLY" => statement.copy_only = true,
            // The same as COPY_ONLY with CONTINUE_AFTER_ERROR.
            "NO_TRUNCATE" if statement.log => statement.copy_only = true,
            "NO_TRUNCATE" => {
                let text = "One or more of the options (no_truncate) are not supported for this \
                            statement. Review the documentation for supported options.";
                return Err(Error::new(3032, 16, text).at_line(line));
            }
            "CHECKSUM" => statement.checksums = true,
            "COMPRESSION" => statement.compressed = true,
            "INIT" | "FORMAT" => statement.overwrite = true,
            "NAME" => {
                self.token(&Token::Eq)?;
                statement.name = Some(self.expression()?);
            }
            "DESCRIPTION" | "MEDIANAME" | "MEDIADESCRIPTION" => {
                self.token(&Token::Eq)?;
                self.expression()?;
            }
            "STATS" => {
                let every = if self.parser.consume_token(&Token::Eq) { self.whole()? } else { 10 };
                statement.stats = Some(u8::try_from(every.clamp(1, 100)).unwrap_or(10));
            }
            "BUFFERCOUNT" | "BLOCKSIZE" | "MAXTRANSFERSIZE" | "RETAINDAYS" => {
                self.token(&Token::Eq)?;
                self.whole()?;
            }
            "NO_CHECKSUM"
            | "NO_COMPRESSION"
            | "NOINIT"
            | "NOFORMAT"
            | "SKIP"
            | "NOSKIP"
            | "STOP_ON_ERROR"
            | "CONTINUE_AFTER_ERROR"
            | "NOREWIND"
            | "REWIND"
            | "NOUNLOAD"
            | "UNLOAD" => {}
            _ => return Err(unknown_option(&option, "BACKUP", line)),
        }
        Ok(())
    }

    fn device(&mut self) -> Result<DeviceName> {
        let url = if self.word("URL") {
            true
        } else {
            self.expect("DISK")?;
            false
        };
        self.token(&Token::Eq)?;
        Ok(DeviceName { url, name: self.expression()? })
    }

    /// A name, or a variable that holds one.
    fn text_or_name(&mut self) -> Result<ast::Expr> {
        match &self.parser.peek_token_ref().token {
            Token::Word(word) if word.value.starts_with('@') => self.expression(),
            _ => {
                let name = self.name()?;
                Ok(ast::Expr::Value(ast::Value::NationalStringLiteral(name).into()))
            }
        }
    }

    fn whole(&mut self) -> Result<i64> {
        let number = match &self.parser.peek_token_ref().token {
            Token::Number(digits, _) => digits.parse::<i64>().ok(),
            _ => None,
        };
        let Some(number) = number else { return Err(self.unexpected()) };
        self.parser.next_token();
        Ok(number)
    }
}

fn unknown_option(option: &str, of: &str, line: u32) -> Error {
    let text = format!("'{option}' is not a recognized {of} option.");
    Error::new(155, 15, text).at_line(line)
}
