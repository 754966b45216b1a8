//! Text to statements.
//!
//! `sqlparser` reads tokens, queries and expressions. Statements are read here: T-SQL needs no
//! semicolons between them, and the ones about availability groups are nobody else's.

mod backup;
mod change;
mod flow;
mod groups;
mod query;
mod setup;
mod statement;
mod table;
mod token;

use sqlparser::ast;
use sqlparser::dialect::MsSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::error::{Error, Result, nested_too_deeply, syntax_near, syntax_near_keyword};
use super::statement::Statement;
use super::types::{Type, parse_type};
use token::tokenize;

pub(crate) use query::MOST_ROUNDS;
pub(crate) use token::is_reserved;

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

/// Whether a batch can be read.
pub(crate) fn readable(text: &str) -> Result<()> {
    parse_batch(text).map(|_| ())
}

/// Parses an expression that stands alone, as a table's definition keeps it.
pub(crate) fn parse_expression(text: &str) -> Result<ast::Expr> {
    let tokens = tokenize(text)?;
    let dialect = MsSqlDialect {};
    let parser = Parser::new(&dialect).with_tokens_with_locations(tokens.clone());
    let mut reader = Reader { parser, tokens: &tokens, depth: 0 };
    reader.expression()
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
    parse_type(plain).ok_or_else(|| {
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

impl Reader<'_> {
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
