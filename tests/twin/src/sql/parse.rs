//! Text to statements.
//!
//! `sqlparser` reads tokens, queries and expressions. Statements are read here: T-SQL needs no
//! semicolons between them, and the ones about availability groups are nobody else's.

use sqlparser::ast;
use sqlparser::dialect::MsSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::error::{Error, Result, nested_too_deeply, syntax_near, syntax_near_keyword};
use super::statement::{DatabaseAction, Declaration, GroupAction, Kind, Raise, Statement};
use super::types::Type;

/// Tokens in one batch. A chain of operators becomes a tree as deep as it is long, and everything
/// that walks it recurses; SQL Server has such a limit too (message 8631).
const MAX_TOKENS: usize = 20_000;
const MAX_OPERATORS: usize = 500;
/// Blocks within blocks.
const MAX_DEPTH: usize = 32;

/// Parses a whole batch; nothing of it runs if any of it is wrong.
pub(crate) fn parse_batch(text: &str) -> Result<Vec<Statement>> {
    let tokens = tokenize(text)?;
    let dialect = MsSqlDialect {};
    let parser = Parser::new(&dialect).with_tokens_with_locations(tokens.clone());
    let mut reader = Reader { parser, tokens: &tokens, depth: 0 };
    let mut statements = Vec::new();
    loop {
        while reader.parser.consume_token(&Token::SemiColon) {}
        if reader.parser.peek_token_ref().token == Token::EOF {
            return Ok(statements);
        }
        reader.statement(&mut statements)?;
    }
}

/// Parses the parameter list of `sp_executesql`: `@a int, @b nvarchar(60) OUTPUT`.
pub(crate) fn parse_parameters(text: &str) -> Result<Vec<(String, Type)>> {
    let tokens = tokenize(text)?;
    let dialect = MsSqlDialect {};
    let parser = Parser::new(&dialect).with_tokens_with_locations(tokens.clone());
    let mut reader = Reader { parser, tokens: &tokens, depth: 0 };
    let mut parameters = Vec::new();
    if reader.parser.peek_token_ref().token == Token::EOF {
        return Ok(parameters);
    }
    loop {
        let name = reader.variable_name()?;
        let ty = reader.data_type()?;
        let _ = reader.word("OUTPUT") || reader.word("OUT");
        parameters.push((name, ty));
        if !reader.parser.consume_token(&Token::Comma) {
            break;
        }
    }
    match reader.parser.peek_token_ref().token {
        Token::EOF => Ok(parameters),
        _ => Err(reader.unexpected()),
    }
}

/// The type that a piece of `sqlparser`'s tree names, if the twin has it.
pub(crate) fn type_of(data_type: &ast::DataType) -> Result<Type> {
    let text = data_type.to_string().to_lowercase();
    // The names come back as they were written, but for the brackets.
    let plain: String = text.chars().filter(|c| !matches!(c, '[' | ']' | ' ')).collect();
    let plain = plain.strip_prefix("sys.").unwrap_or(&plain);
    super::types::parse_type(plain).ok_or_else(|| {
        let name = text.split('(').next().unwrap_or(&text);
        Error::new(
            2715,
            16,
            format!("Column, parameter, or variable #1: Cannot find data type {name}."),
        )
        .state(6)
    })
}

struct Reader<'a> {
    parser: Parser<'a>,
    tokens: &'a [TokenWithSpan],
    depth: usize,
}

fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>> {
    let dialect = MsSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| {
        let line = u32::try_from(error.location.line).unwrap_or(1);
        if error.message.contains("Unterminated") || error.message.contains("EOF") {
            let rest = text.rsplit('\'').next().unwrap_or_default();
            let message = format!("Unclosed quotation mark after the character string '{rest}'.");
            Error::new(105, 15, message).at_line(line)
        } else {
            syntax_near("").at_line(line)
        }
    })?;
    // 0x0A is Transact-SQL, X'0A' is not.
    if let Some(quoted) = tokens.iter().find(|token| is_quoted_hex(token)) {
        let line = u32::try_from(quoted.span.start.line).unwrap_or(1);
        return Err(syntax_near("'").at_line(line));
    }
    let counts = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) => {
            matches!(word.keyword, Keyword::AND | Keyword::OR | Keyword::UNION | Keyword::JOIN)
        }
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::Eq => true,
        Token::Lt | Token::Gt | Token::LtEq | Token::GtEq | Token::Neq => true,
        Token::Ampersand | Token::Pipe | Token::Caret | Token::Tilde => true,
        _ => false,
    };
    if tokens.len() > MAX_TOKENS || tokens.iter().filter(|t| counts(t)).count() > MAX_OPERATORS {
        let text = "Internal error: Server stack limit has been reached. Please look for \
                    potentially deep nesting in your query, and try to simplify it.";
        return Err(Error::new(8631, 17, text));
    }
    Ok(tokens)
}

impl Reader<'_> {
    fn statement(&mut self, into: &mut Vec<Statement>) -> Result<()> {
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
            "ALTER" => self.alter()?,
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
                if !SWITCHES.contains(&name.as_str()) {
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

    /// A name of one part.
    fn name(&mut self) -> Result<String> {
        let token = self.parser.peek_token_ref().token.clone();
        match token {
            Token::Word(word) if word.quote_style.is_some() || !is_reserved(&word.value) => {
                self.parser.next_token();
                Ok(word.value)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn variable_name(&mut self) -> Result<String> {
        let token = self.parser.peek_token_ref().token.clone();
        match token {
            Token::Word(word)
                if word.quote_style.is_none()
                    && word.value.starts_with('@')
                    && !word.value.starts_with("@@") =>
            {
                self.parser.next_token();
                Ok(word.value)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn data_type(&mut self) -> Result<Type> {
        let parsed = self.parser.parse_data_type();
        let data_type = self.known(parsed)?;
        type_of(&data_type)
    }

    fn expression(&mut self) -> Result<ast::Expr> {
        let parsed = self.parser.parse_expr();
        self.known(parsed)
    }

    /// Consumes an unquoted word if it is the next token.
    fn word(&mut self, word: &str) -> bool {
        let matches = is_word(&self.parser.peek_token_ref().token, word);
        if matches {
            self.parser.next_token();
        }
        matches
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        if self.word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn token(&mut self, token: &Token) -> Result<()> {
        if self.parser.consume_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn line(&self) -> u32 {
        u32::try_from(self.parser.peek_token_ref().span.start.line).unwrap_or(0).max(1)
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(nested_too_deeply());
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn unexpected(&self) -> Error {
        self.near(self.parser.peek_token_ref().span.start)
    }

    fn known<T>(&self, parsed: std::result::Result<T, ParserError>) -> Result<T> {
        parsed.map_err(|error| match error {
            ParserError::RecursionLimitExceeded => nested_too_deeply(),
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => {
                match location_in(&text) {
                    Some(location) => self.near(location),
                    None => self.unexpected(),
                }
            }
        })
    }

    /// The complaint about the token that begins at this place; about the last one if the text
    /// has ended there.
    fn near(&self, at: Location) -> Error {
        let visible =
            |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
        let found = self
            .tokens
            .iter()
            .find(|token| token.span.start == at)
            .filter(visible)
            .or_else(|| self.tokens.iter().rfind(visible));
        let Some(found) = found else { return syntax_near("") };
        let line = u32::try_from(found.span.start.line).unwrap_or(1);
        let error = match &found.token {
            Token::Word(word) if word.quote_style.is_none() && is_reserved(&word.value) => {
                syntax_near_keyword(&word.value)
            }
            Token::Word(word) => syntax_near(&word.value),
            Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => {
                syntax_near(text)
            }
            other => syntax_near(&other.to_string()),
        };
        error.at_line(line)
    }
}

fn is_quoted_hex(token: &TokenWithSpan) -> bool {
    let Token::HexStringLiteral(digits) = &token.token else { return false };
    let width = token.span.end.column.saturating_sub(token.span.start.column);
    usize::try_from(width).is_ok_and(|width| width > digits.len() + 2)
}

fn is_word(token: &Token, wanted: &str) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    }
}

/// `sqlparser` writes where it stopped at the end of its message: ` at Line: 1, Column: 8`.
fn location_in(message: &str) -> Option<Location> {
    let (_, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

/// Whether a word cannot be a name without brackets.
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

const SWITCHES: [&str; 20] = [
    "ANSI_DEFAULTS",
    "ANSI_NULLS",
    "ANSI_NULL_DFLT_ON",
    "ANSI_PADDING",
    "ANSI_WARNINGS",
    "ARITHABORT",
    "ARITHIGNORE",
    "CONCAT_NULL_YIELDS_NULL",
    "CURSOR_CLOSE_ON_COMMIT",
    "FMTONLY",
    "FORCEPLAN",
    "IMPLICIT_TRANSACTIONS",
    "NOCOUNT",
    "NOEXEC",
    "NO_BROWSETABLE",
    "NUMERIC_ROUNDABORT",
    "PARSEONLY",
    "QUOTED_IDENTIFIER",
    "REMOTE_PROC_TRANSACTIONS",
    "XACT_ABORT",
];

/// Reserved words of Transact-SQL, sorted.
const RESERVED: [&str; 185] = [
    "ADD",
    "ALL",
    "ALTER",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "AUTHORIZATION",
    "BACKUP",
    "BEGIN",
    "BETWEEN",
    "BREAK",
    "BROWSE",
    "BULK",
    "BY",
    "CASCADE",
    "CASE",
    "CHECK",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTERED",
    "COALESCE",
    "COLLATE",
    "COLUMN",
    "COMMIT",
    "COMPUTE",
    "CONSTRAINT",
    "CONTAINS",
    "CONTAINSTABLE",
    "CONTINUE",
    "CONVERT",
    "CREATE",
    "CROSS",
    "CURRENT",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "CURSOR",
    "DATABASE",
    "DBCC",
    "DEALLOCATE",
    "DECLARE",
    "DEFAULT",
    "DELETE",
    "DENY",
    "DESC",
    "DISK",
    "DISTINCT",
    "DISTRIBUTED",
    "DOUBLE",
    "DROP",
    "DUMP",
    "ELSE",
    "END",
    "ERRLVL",
    "ESCAPE",
    "EXCEPT",
    "EXEC",
    "EXECUTE",
    "EXISTS",
    "EXIT",
    "EXTERNAL",
    "FETCH",
    "FILE",
    "FILLFACTOR",
    "FOR",
    "FOREIGN",
    "FREETEXT",
    "FREETEXTTABLE",
    "FROM",
    "FULL",
    "FUNCTION",
    "GOTO",
    "GRANT",
    "GROUP",
    "HAVING",
    "HOLDLOCK",
    "IDENTITY",
    "IDENTITYCOL",
    "IDENTITY_INSERT",
    "IF",
    "IN",
    "INDEX",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "KILL",
    "LEFT",
    "LIKE",
    "LINENO",
    "LOAD",
    "MERGE",
    "NATIONAL",
    "NOCHECK",
    "NONCLUSTERED",
    "NOT",
    "NULL",
    "NULLIF",
    "OF",
    "OFF",
    "OFFSETS",
    "ON",
    "OPEN",
    "OPENDATASOURCE",
    "OPENQUERY",
    "OPENROWSET",
    "OPENXML",
    "OPTION",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PERCENT",
    "PIVOT",
    "PLAN",
    "PRECISION",
    "PRIMARY",
    "PRINT",
    "PROC",
    "PROCEDURE",
    "PUBLIC",
    "RAISERROR",
    "READ",
    "READTEXT",
    "RECONFIGURE",
    "REFERENCES",
    "REPLICATION",
    "RESTORE",
    "RESTRICT",
    "RETURN",
    "REVERT",
    "REVOKE",
    "RIGHT",
    "ROLLBACK",
    "ROWCOUNT",
    "ROWGUIDCOL",
    "RULE",
    "SAVE",
    "SCHEMA",
    "SECURITYAUDIT",
    "SELECT",
    "SEMANTICKEYPHRASETABLE",
    "SEMANTICSIMILARITYDETAILSTABLE",
    "SEMANTICSIMILARITYTABLE",
    "SESSION_USER",
    "SET",
    "SETUSER",
    "SHUTDOWN",
    "SOME",
    "STATISTICS",
    "SYSTEM_USER",
    "TABLE",
    "TABLESAMPLE",
    "TEXTSIZE",
    "THEN",
    "TO",
    "TOP",
    "TRAN",
    "TRANSACTION",
    "TRIGGER",
    "TRUNCATE",
    "TRY_CONVERT",
    "TSEQUAL",
    "UNION",
    "UNIQUE",
    "UNPIVOT",
    "UPDATE",
    "UPDATETEXT",
    "USE",
    "USER",
    "VALUES",
    "VARYING",
    "VIEW",
    "WAITFOR",
    "WHEN",
    "WHERE",
    "WHILE",
    "WITH",
    "WITHIN GROUP",
    "WRITETEXT",
];
