//! Tokens of a batch, and the words that mean something to the server.

use sqlparser::dialect::MsSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::sql::error::{Error, Result, syntax_near};

/// Tokens in one batch. A chain of operators becomes a tree as deep as it is long, and everything
/// that walks it recurses; SQL Server has such a limit too (message 8631).
const MAX_TOKENS: usize = 20_000;
const MAX_OPERATORS: usize = 500;
/// Cuts a text into tokens, if it is not too long and none of them belongs to another language.
pub(super) fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>> {
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
    let mut tokens = amounts(tokens);
    for token in &mut tokens {
        // `sqlparser` takes it for an alias; like ORDER it cannot be one.
        if let Token::Word(word) = &mut token.token
            && word.quote_style.is_none()
            && word.keyword == Keyword::OPTION
        {
            word.keyword = Keyword::ORDER;
        }
    }
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

/// `$1.50` is an amount of money, which `sqlparser` takes for a parameter: it becomes a CAST.
fn amounts(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut made = Vec::with_capacity(tokens.len());
    for token in tokens {
        let digits = match &token.token {
            Token::Placeholder(text) => text.strip_prefix('$').map(str::to_owned),
            _ => None,
        };
        let numeric = |it: &String| it.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let Some(digits) = digits.filter(numeric) else {
            made.push(token);
            continue;
        };
        let digits = if digits.is_empty() { "0".to_owned() } else { digits };
        let word = |text: &str| Token::make_word(text, None);
        let cast = [
            word("CAST"),
            Token::LParen,
            Token::Number(digits, false),
            word("AS"),
            word("money"),
            Token::RParen,
        ];
        made.extend(cast.map(|part| TokenWithSpan { token: part, span: token.span }));
    }
    made
}

/// Whether a word cannot be a name without brackets.
pub(crate) fn is_reserved(word: &str) -> bool {
    is_one_of(RESERVED, word)
}

/// Whether a word is an option that is switched ON and OFF.
pub(super) fn is_switch(word: &str) -> bool {
    is_one_of(SWITCHES, word)
}

fn is_one_of(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| known.eq_ignore_ascii_case(word))
}

fn is_quoted_hex(token: &TokenWithSpan) -> bool {
    let Token::HexStringLiteral(digits) = &token.token else { return false };
    let width = token.span.end.column.saturating_sub(token.span.start.column);
    usize::try_from(width).is_ok_and(|width| width > digits.len() + 2)
}

const SWITCHES: &str = "\
    ANSI_DEFAULTS ANSI_NULLS ANSI_NULL_DFLT_ON ANSI_PADDING ANSI_WARNINGS ARITHABORT \
    ARITHIGNORE CONCAT_NULL_YIELDS_NULL CURSOR_CLOSE_ON_COMMIT FMTONLY FORCEPLAN \
    IMPLICIT_TRANSACTIONS NOCOUNT NOEXEC NO_BROWSETABLE NUMERIC_ROUNDABORT PARSEONLY \
    QUOTED_IDENTIFIER REMOTE_PROC_TRANSACTIONS XACT_ABORT";

/// Reserved words of Transact-SQL.
const RESERVED: &str = "\
    ADD ALL ALTER AND ANY AS ASC AUTHORIZATION BACKUP BEGIN BETWEEN BREAK BROWSE BULK BY \
    CASCADE CASE CHECK CHECKPOINT CLOSE CLUSTERED COALESCE COLLATE COLUMN COMMIT COMPUTE \
    CONSTRAINT CONTAINS CONTAINSTABLE CONTINUE CONVERT CREATE CROSS CURRENT CURRENT_DATE \
    CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURSOR DATABASE DBCC DEALLOCATE DECLARE \
    DEFAULT DELETE DENY DESC DISK DISTINCT DISTRIBUTED DOUBLE DROP DUMP ELSE END ERRLVL \
    ESCAPE EXCEPT EXEC EXECUTE EXISTS EXIT EXTERNAL FETCH FILE FILLFACTOR FOR FOREIGN \
    FREETEXT FREETEXTTABLE FROM FULL FUNCTION GOTO GRANT GROUP HAVING HOLDLOCK IDENTITY \
    IDENTITYCOL IDENTITY_INSERT IF IN INDEX INNER INSERT INTERSECT INTO IS JOIN KEY KILL \
    LEFT LIKE LINENO LOAD MERGE NATIONAL NOCHECK NONCLUSTERED NOT NULL NULLIF OF OFF OFFSETS \
    ON OPEN OPENDATASOURCE OPENQUERY OPENROWSET OPENXML OPTION OR ORDER OUTER OVER PERCENT \
    PIVOT PLAN PRECISION PRIMARY PRINT PROC PROCEDURE PUBLIC RAISERROR READ READTEXT \
    RECONFIGURE REFERENCES REPLICATION RESTORE RESTRICT RETURN REVERT REVOKE RIGHT ROLLBACK \
    ROWCOUNT ROWGUIDCOL RULE SAVE SCHEMA SECURITYAUDIT SELECT SEMANTICKEYPHRASETABLE \
    SEMANTICSIMILARITYDETAILSTABLE SEMANTICSIMILARITYTABLE SESSION_USER SET SETUSER SHUTDOWN \
    SOME STATISTICS SYSTEM_USER TABLE TABLESAMPLE TEXTSIZE THEN TO TOP TRAN TRANSACTION \
    TRIGGER TRUNCATE TRY_CONVERT TSEQUAL UNION UNIQUE UNPIVOT UPDATE UPDATETEXT USE USER \
    VALUES VARYING VIEW WAITFOR WHEN WHERE WHILE WITH WRITETEXT";
