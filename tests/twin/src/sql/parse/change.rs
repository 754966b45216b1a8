//! INSERT, UPDATE and DELETE.

use sqlparser::ast;
use sqlparser::tokenizer::Token;

use crate::sql::definition::{Assigned, Insert, InsertSource, Modify, Name, OutputClause};
use crate::sql::error::Result;
use crate::sql::statement::Kind;

use super::{Reader, is_word};

/// SQL Server's own limit for one INSERT.
const MAX_VALUES: usize = 1_000;

impl Reader<'_> {
    pub(super) fn insert(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let _ = self.word("INTO");
        let target = self.target()?;
        let listed = self.parser.peek_token_ref().token == Token::LParen
            && !is_word(&self.parser.peek_nth_token(1).token, "SELECT");
        let columns = if listed { Some(self.column_list()?) } else { None };
        let output = self.output()?;
        let source = if self.word("DEFAULT") {
            self.expect("VALUES")?;
            InsertSource::Defaults
        } else if self.word("VALUES") {
            let values = self.values()?;
            self.hints()?;
            InsertSource::Values(values)
        } else {
            InsertSource::Query(self.query()?)
        };
        Ok(Kind::Insert(Box::new(Insert { with: None, target, columns, output, source })))
    }

    pub(super) fn update(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let top = self.top()?;
        let target = self.target()?;
        self.expect("SET")?;
        let mut set = Vec::new();
        loop {
            set.push(self.assignment()?);
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        let output = self.output()?;
        let (from, filter) = self.sources()?;
        let (with, hints) = (None, self.hints()?);
        let set = Some(set);
        Ok(Kind::Modify(Box::new(Modify { with, hints, target, top, set, output, from, filter })))
    }

    pub(super) fn delete(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let top = self.top()?;
        let _ = self.word("FROM");
        let target = self.target()?;
        let output = self.output()?;
        let (from, filter) = self.sources()?;
        let (with, hints) = (None, self.hints()?);
        let set = None;
        Ok(Kind::Modify(Box::new(Modify { with, hints, target, top, set, output, from, filter })))
    }

    /// A table's name or a table variable, with hints.
    fn target(&mut self) -> Result<Name> {
        let variable = self.parser.peek_token_ref().token.to_string().starts_with('@');
        let name = if variable { vec![self.variable_name()?] } else { self.object_name()? };
        if is_word(&self.parser.peek_token_ref().token, "WITH")
            && self.parser.peek_nth_token(1).token == Token::LParen
        {
            self.parser.next_token();
            self.column_list()?;
        }
        Ok(name)
    }

    pub(super) fn column_list(&mut self) -> Result<Vec<String>> {
        self.token(&Token::LParen)?;
        let mut names = Vec::new();
        loop {
            names.push(self.name()?);
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.token(&Token::RParen)?;
        Ok(names)
    }

    fn values(&mut self) -> Result<Vec<Vec<Option<ast::Expr>>>> {
        let mut rows = Vec::new();
        loop {
            self.token(&Token::LParen)?;
            let mut row = Vec::new();
            loop {
                let default = is_word(&self.parser.peek_token_ref().token, "DEFAULT");
                row.push(if default {
                    self.parser.next_token();
                    None
                } else {
                    Some(self.expression()?)
                });
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.token(&Token::RParen)?;
            rows.push(row);
            if rows.len() > MAX_VALUES {
                let text = "The number of row value expressions in the INSERT statement exceeds \
                            the maximum allowed number of 1000 row values.";
                return Err(crate::sql::error::Error::new(10_738, 15, text));
            }
            if !self.parser.consume_token(&Token::Comma) {
                return Ok(rows);
            }
        }
    }

    fn top(&mut self) -> Result<Option<ast::Expr>> {
        if !self.word("TOP") {
            return Ok(None);
        }
        self.token(&Token::LParen)?;
        let count = self.expression()?;
        self.token(&Token::RParen)?;
        Ok(Some(count))
    }

    /// `column = value`, `@a = value`, or with an operator before the sign: `column += value`.
    fn assignment(&mut self) -> Result<(Assigned, ast::Expr)> {
        let token = self.parser.peek_token_ref().token.to_string();
        let (assigned, own) = if token.starts_with('@') {
            let name = self.variable_name()?;
            let own = ast::Expr::Identifier(ast::Ident::new(name.clone()));
            (Assigned::Variable(name), own)
        } else {
            let parts = self.object_name()?;
            let idents = parts.iter().map(|part| ast::Ident::with_quote('[', part.as_str()));
            let own = ast::Expr::CompoundIdentifier(idents.collect());
            (Assigned::Column(parts.last().cloned().unwrap_or_default()), own)
        };
        let op = match &self.parser.peek_token_ref().token {
            Token::Plus => Some(ast::BinaryOperator::Plus),
            Token::Minus => Some(ast::BinaryOperator::Minus),
            Token::Mul => Some(ast::BinaryOperator::Multiply),
            Token::Div => Some(ast::BinaryOperator::Divide),
            _ => None,
        };
        if op.is_some() {
            self.parser.next_token();
        }
        self.token(&Token::Eq)?;
        let value = self.expression()?;
        let value = match op {
            None => value,
            Some(op) => {
                let right = Box::new(ast::Expr::Nested(Box::new(value)));
                ast::Expr::BinaryOp { left: Box::new(own), op, right }
            }
        };
        Ok((assigned, value))
    }

    fn output(&mut self) -> Result<Option<OutputClause>> {
        if !self.word("OUTPUT") {
            return Ok(None);
        }
        let mut items = Vec::new();
        loop {
            let parsed = self.parser.parse_select_item();
            items.push(self.known(parsed)?);
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        let into = if self.word("INTO") {
            let target = self.target()?;
            let listed = self.parser.peek_token_ref().token == Token::LParen;
            let columns = if listed { Some(self.column_list()?) } else { None };
            Some((target, columns))
        } else {
            None
        };
        Ok(Some(OutputClause { items, into }))
    }

    fn sources(&mut self) -> Result<(Vec<ast::TableWithJoins>, Option<ast::Expr>)> {
        let mut from = Vec::new();
        if self.word("FROM") {
            loop {
                let parsed = self.parser.parse_table_and_joins();
                from.push(self.known(parsed)?);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
        }
        let filter = if self.word("WHERE") { Some(self.expression()?) } else { None };
        Ok((from, filter))
    }
}
