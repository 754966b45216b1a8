//! Queries with the hints of OPTION, and common table expressions before any statement.

use sqlparser::ast;
use sqlparser::tokenizer::Token;

use crate::sql::definition::InsertSource;
use crate::sql::error::{Error, Result};
use crate::sql::statement::Kind;

use super::{Reader, is_word};

/// What a hint of OPTION begins with.
const HINTS: [&str; 19] = [
    "CONCAT",
    "EXPAND",
    "FAST",
    "FORCE",
    "HASH",
    "IGNORE_NONCLUSTERED_COLUMNSTORE_INDEX",
    "KEEP",
    "KEEPFIXED",
    "LABEL",
    "LOOP",
    "MAXDOP",
    "MAXRECURSION",
    "MERGE",
    "NO_PERFORMANCE_SPOOL",
    "OPTIMIZE",
    "ORDER",
    "QUERYTRACEON",
    "RECOMPILE",
    "ROBUST",
];
/// The only hint that changes what a query gives, as the tree keeps it.
pub(crate) const MOST_ROUNDS: &str = "MAXRECURSION";
/// The server's own limit of it.
const ROUNDS_AT_MOST: u32 = 32_767;

impl Reader<'_> {
    /// A query with its hints.
    pub(super) fn query(&mut self) -> Result<Box<ast::Query>> {
        let parsed = self.parser.parse_query();
        let mut query = self.known(parsed)?;
        query.settings = self.hints()?;
        Ok(query)
    }

    /// WITH, and the statement that its expressions are for.
    pub(super) fn with(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let parsed = self.parser.parse_comma_separated(sqlparser::parser::Parser::parse_cte);
        let cte_tables = self.known(parsed)?;
        let with = ast::With {
            with_token: ast::helpers::attached_token::AttachedToken::empty(),
            recursive: false,
            cte_tables,
        };
        let token = &self.parser.peek_token_ref().token;
        if is_word(token, "INSERT") {
            let mut kind = self.insert()?;
            if let Kind::Insert(insert) = &mut kind {
                match &mut insert.source {
                    InsertSource::Query(query) => {
                        query.with.get_or_insert(with);
                    }
                    InsertSource::Values(_) | InsertSource::Defaults => insert.with = Some(with),
                }
            }
            return Ok(kind);
        }
        if is_word(token, "UPDATE") || is_word(token, "DELETE") {
            let update = is_word(token, "UPDATE");
            let mut kind = if update { self.update()? } else { self.delete()? };
            if let Kind::Modify(modify) = &mut kind {
                modify.with = Some(with);
            }
            return Ok(kind);
        }
        if !is_word(token, "SELECT") && *token != Token::LParen {
            return Err(self.unexpected());
        }
        let mut query = self.query()?;
        query.with = Some(with);
        Ok(Kind::Query(query))
    }

    /// `OPTION (hint, …)`, of which only one changes what comes out.
    pub(super) fn hints(&mut self) -> Result<Option<Vec<ast::Setting>>> {
        if !self.word("OPTION") {
            return Ok(None);
        }
        self.token(&Token::LParen)?;
        let mut kept = Vec::new();
        loop {
            if self.word(MOST_ROUNDS) {
                let value = self.whole_number()?;
                if value > i64::from(ROUNDS_AT_MOST) {
                    let text = format!(
                        "The value {value} specified for the MAXRECURSION option exceeds the \
                         allowed maximum of {ROUNDS_AT_MOST}."
                    );
                    return Err(Error::new(310, 15, text));
                }
                let number = ast::Value::Number(value.to_string(), false);
                kept.push(ast::Setting {
                    key: ast::Ident::new(MOST_ROUNDS),
                    value: ast::Expr::Value(number.with_empty_span()),
                });
            } else {
                self.hint()?;
            }
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.token(&Token::RParen)?;
        Ok(Some(kept))
    }

    /// A hint for the optimiser, of which there is none here.
    fn hint(&mut self) -> Result<()> {
        let known = self.word("USE") || HINTS.iter().any(|hint| self.word(hint));
        if !known {
            return Err(self.unexpected());
        }
        let mut open = 0_usize;
        loop {
            match self.parser.peek_token_ref().token {
                Token::EOF | Token::SemiColon => return Err(self.unexpected()),
                Token::Comma | Token::RParen if open == 0 => return Ok(()),
                Token::LParen => open += 1,
                Token::RParen => open -= 1,
                _ => {}
            }
            self.parser.next_token();
        }
    }
}
