//! Statements that decide what runs: IF, WHILE, TRY; and variables, errors and procedure calls.

use std::sync::Arc;

use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use crate::sql::error::Result;
use crate::sql::statement::{Argument, Declaration, Kind, Raise, Statement};

use super::{Reader, is_word};

/// Arguments of RAISERROR beside its text, severity and state.
const MAX_ARGUMENTS: usize = 20;

impl Reader<'_> {
    pub(super) fn declare(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let mut declarations = Vec::new();
        loop {
            let name = self.variable_name()?;
            let _ = self.word("AS");
            if declarations.is_empty() && self.word("TABLE") {
                let definition = self.table_definition(vec![name])?;
                return Ok(Kind::DeclareTable(Box::new(definition)));
            }
            let ty = self.data_type()?;
            let value =
                if self.parser.consume_token(&Token::Eq) { Some(self.expression()?) } else { None };
            declarations.push(Declaration { name, ty, value });
            if !self.parser.consume_token(&Token::Comma) {
                return Ok(Kind::Declare(declarations));
            }
        }
    }

    /// `@a = value`, or with an operator before the sign.
    pub(super) fn assign(&mut self) -> Result<Kind> {
        let name = self.variable_name()?;
        let op = match &self.parser.peek_token_ref().token {
            Token::Plus => Some(ast::BinaryOperator::Plus),
            Token::Minus => Some(ast::BinaryOperator::Minus),
            Token::Mul => Some(ast::BinaryOperator::Multiply),
            Token::Div => Some(ast::BinaryOperator::Divide),
            Token::Mod => Some(ast::BinaryOperator::Modulo),
            _ => None,
        };
        if op.is_some() {
            self.parser.next_token();
        }
        self.token(&Token::Eq)?;
        let value = self.expression()?;
        let value = match op {
            None => value,
            Some(op) => ast::Expr::BinaryOp {
                left: Box::new(ast::Expr::Identifier(ast::Ident::new(name.clone()))),
                op,
                right: Box::new(ast::Expr::Nested(Box::new(value))),
            },
        };
        Ok(Kind::SetVariable { name, value: Box::new(value) })
    }

    pub(super) fn condition(&mut self) -> Result<Kind> {
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

    pub(super) fn repetition(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let condition = Box::new(self.expression()?);
        let body = Arc::new(self.branch()?);
        Ok(Kind::While { condition, body })
    }

    /// What follows BEGIN TRY.
    pub(super) fn attempt(&mut self) -> Result<Kind> {
        let mut body = Vec::new();
        self.block(&mut body)?;
        self.expect("TRY")?;
        while self.parser.consume_token(&Token::SemiColon) {}
        self.expect("BEGIN")?;
        self.expect("CATCH")?;
        let mut catch = Vec::new();
        self.block(&mut catch)?;
        self.expect("CATCH")?;
        Ok(Kind::Try { body, catch: Arc::new(catch) })
    }

    fn branch(&mut self) -> Result<Vec<Statement>> {
        self.deeper(|reader| {
            let mut statements = Vec::new();
            reader.statement(&mut statements)?;
            Ok(statements)
        })
    }

    pub(super) fn raiserror(&mut self) -> Result<Kind> {
        self.parser.next_token();
        self.token(&Token::LParen)?;
        let text = self.expression()?;
        self.token(&Token::Comma)?;
        let severity = self.expression()?;
        self.token(&Token::Comma)?;
        let state = self.expression()?;
        let mut arguments = Vec::new();
        while self.parser.consume_token(&Token::Comma) {
            arguments.push(self.expression()?);
            if arguments.len() > MAX_ARGUMENTS {
                return Err(self.unexpected());
            }
        }
        self.token(&Token::RParen)?;
        if self.word("WITH") {
            loop {
                if !["NOWAIT", "LOG", "SETERROR"].iter().any(|option| self.word(option)) {
                    return Err(self.unexpected());
                }
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
        }
        Ok(Kind::Raise(Box::new(Raise::RaisError { text, severity, state, arguments })))
    }

    pub(super) fn throw(&mut self) -> Result<Kind> {
        self.parser.next_token();
        let alone = match &self.parser.peek_token_ref().token {
            Token::EOF | Token::SemiColon => true,
            token => is_word(token, "END"),
        };
        if alone {
            return Ok(Kind::Raise(Box::new(Raise::Again)));
        }
        let number = self.expression()?;
        self.token(&Token::Comma)?;
        let text = self.expression()?;
        self.token(&Token::Comma)?;
        let state = self.expression()?;
        Ok(Kind::Raise(Box::new(Raise::Throw { number, text, state })))
    }

    pub(super) fn execute(&mut self) -> Result<Kind> {
        if self.parser.consume_token(&Token::LParen) {
            let text = self.expression()?;
            self.token(&Token::RParen)?;
            return Ok(Kind::ExecuteText(Box::new(text)));
        }
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
            let name = if named {
                let parameter = self.variable_name()?;
                self.token(&Token::Eq)?;
                Some(parameter)
            } else {
                None
            };
            let value = self.expression()?;
            let output = self.word("OUTPUT") || self.word("OUT");
            arguments.push(Argument { name, value, output });
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

    pub(super) fn transaction_name(&mut self) -> Option<String> {
        let token = self.parser.peek_token_ref().token.clone();
        if let Token::Word(word) = token
            && (word.quote_style.is_some()
                || word.keyword == Keyword::NoKeyword
                || word.value.starts_with('@'))
        {
            self.parser.next_token();
            return Some(word.value);
        }
        None
    }
}
