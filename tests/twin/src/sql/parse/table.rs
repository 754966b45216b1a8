//! CREATE, ALTER, DROP and TRUNCATE of user tables.

use sqlparser::tokenizer::Token;

use crate::sql::definition::{
    Alteration, ColumnDefinition, Constraint, IndexDefinition, Name, Rule, TableDefinition,
};
use crate::sql::error::{Error, Result};
use crate::sql::statement::Kind;
use crate::tables::KeyKind;

use super::{Reader, is_word};

impl Reader<'_> {
    /// Whether CREATE, ALTER or DROP is about what stands in this file.
    pub(super) fn is_about_tables(&mut self) -> bool {
        (1..4).any(|place| {
            let token = self.parser.peek_nth_token(place).token;
            ["TABLE", "INDEX"].iter().any(|word| is_word(&token, word))
                && (1..place).all(|before| {
                    let token = self.parser.peek_nth_token(before).token;
                    ["UNIQUE", "CLUSTERED", "NONCLUSTERED"].iter().any(|w| is_word(&token, w))
                })
        })
    }

    pub(super) fn table_statement(&mut self, first: &str) -> Result<Kind> {
        self.parser.next_token();
        match first {
            "CREATE" if self.word("TABLE") => {
                let name = self.object_name()?;
                Ok(Kind::CreateTable(Box::new(self.table_definition(name)?)))
            }
            "CREATE" => self.index(),
            "ALTER" => {
                self.expect("TABLE")?;
                let name = self.object_name()?;
                let alteration = self.alteration()?;
                Ok(Kind::AlterTable { name, alteration: Box::new(alteration) })
            }
            "TRUNCATE" => {
                self.expect("TABLE")?;
                Ok(Kind::Truncate(self.object_name()?))
            }
            _ if self.word("INDEX") => {
                let if_exists = self.if_exists()?;
                let name = self.name()?;
                self.expect("ON")?;
                Ok(Kind::DropIndex { name, table: self.object_name()?, if_exists })
            }
            _ => {
                self.expect("TABLE")?;
                let if_exists = self.if_exists()?;
                let mut names = vec![self.object_name()?];
                while self.parser.consume_token(&Token::Comma) {
                    names.push(self.object_name()?);
                }
                Ok(Kind::DropTable { names, if_exists })
            }
        }
    }

    /// `a`, `dbo.a`, `Sales.dbo.a` or `Sales..a`.
    pub(super) fn object_name(&mut self) -> Result<Name> {
        let mut parts = vec![self.name()?];
        while self.parser.consume_token(&Token::Period) {
            let empty = self.parser.peek_token_ref().token == Token::Period;
            parts.push(if empty { String::new() } else { self.name()? });
        }
        if parts.len() > 3 {
            return Err(self.unexpected());
        }
        Ok(parts)
    }

    /// What stands between the parentheses of a table.
    pub(super) fn table_definition(&mut self, name: Name) -> Result<TableDefinition> {
        self.token(&Token::LParen)?;
        let (mut columns, mut constraints) = (Vec::new(), Vec::new());
        loop {
            self.element(&mut columns, &mut constraints)?;
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
            // A comma may stand before the end.
            if self.parser.peek_token_ref().token == Token::RParen {
                break;
            }
        }
        self.token(&Token::RParen)?;
        if self.word("ON") {
            self.name()?;
        }
        self.options()?;
        Ok(TableDefinition { name, columns, constraints })
    }

    fn if_exists(&mut self) -> Result<bool> {
        let found = self.word("IF");
        if found {
            self.expect("EXISTS")?;
        }
        Ok(found)
    }

    /// A column, or a constraint of the table.
    fn element(
        &mut self,
        columns: &mut Vec<ColumnDefinition>,
        constraints: &mut Vec<Constraint>,
    ) -> Result<()> {
        let begins = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "INDEX", "DEFAULT"];
        let token = &self.parser.peek_token_ref().token;
        if !begins.iter().any(|word| is_word(token, word)) {
            let column = self.column_definition(constraints)?;
            columns.push(column);
            return Ok(());
        }
        let name = if self.word("CONSTRAINT") { Some(self.name()?) } else { None };
        let rule = if let Some(kind) = self.key_kind()? {
            Rule::Key { kind, columns: self.key_columns()? }
        } else if self.word("CHECK") {
            Rule::Check(self.in_parentheses()?)
        } else if self.word("DEFAULT") {
            let value = self.expression()?;
            self.expect("FOR")?;
            Rule::Default { column: self.name()?, value }
        } else if self.word("FOREIGN") {
            self.expect("KEY")?;
            let columns = self.key_columns()?;
            self.reference(columns)?
        } else {
            return Err(self.not_here());
        };
        constraints.push(Constraint { name, rule });
        Ok(())
    }

    fn column_definition(&mut self, constraints: &mut Vec<Constraint>) -> Result<ColumnDefinition> {
        let name = self.name()?;
        let ty = self.data_type()?;
        let mut column = ColumnDefinition { name, ty, nullable: None, identity: None };
        loop {
            let named = if self.word("CONSTRAINT") { Some(self.name()?) } else { None };
            if self.word("NULL") {
                column.nullable = Some(true);
            } else if self.word("NOT") {
                self.expect("NULL")?;
                column.nullable = Some(false);
            } else if self.word("IDENTITY") {
                column.identity = Some(self.seed()?);
            } else if self.word("COLLATE") {
                self.name()?;
            } else if self.word("DEFAULT") {
                let value = self.expression()?;
                let rule = Rule::Default { column: column.name.clone(), value };
                constraints.push(Constraint { name: named, rule });
            } else if let Some(kind) = self.key_kind()? {
                let listed = self.parser.peek_token_ref().token == Token::LParen;
                let columns = if listed { self.key_columns()? } else { vec![column.name.clone()] };
                self.options()?;
                constraints.push(Constraint { name: named, rule: Rule::Key { kind, columns } });
            } else if self.word("CHECK") {
                let rule = Rule::Check(self.in_parentheses()?);
                constraints.push(Constraint { name: named, rule });
            } else if self.refers() {
                let rule = self.reference(vec![column.name.clone()])?;
                constraints.push(Constraint { name: named, rule });
            } else if named.is_some() {
                return Err(self.not_here());
            } else {
                return Ok(column);
            }
        }
    }

    /// Whether a reference begins, of a column: `FOREIGN KEY` may be left out.
    fn refers(&mut self) -> bool {
        let key = is_word(&self.parser.peek_nth_token(1).token, "KEY");
        if key && self.word("FOREIGN") {
            let _ = self.word("KEY");
        }
        is_word(&self.parser.peek_token_ref().token, "REFERENCES")
    }

    /// `REFERENCES table (columns)`. Only NO ACTION is served.
    fn reference(&mut self, columns: Vec<String>) -> Result<Rule> {
        self.expect("REFERENCES")?;
        let table = self.object_name()?;
        let listed = self.parser.peek_token_ref().token == Token::LParen;
        let to = if listed { self.key_columns()? } else { Vec::new() };
        while self.word("ON") {
            if !self.word("DELETE") {
                self.expect("UPDATE")?;
            }
            self.expect("NO")?;
            self.expect("ACTION")?;
        }
        Ok(Rule::Reference { columns, table, to })
    }

    /// `(seed, increment)`, 1 and 1 if it is left out.
    fn seed(&mut self) -> Result<(i64, i64)> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok((1, 1));
        }
        let seed = self.whole_number()?;
        self.token(&Token::Comma)?;
        let step = self.whole_number()?;
        self.token(&Token::RParen)?;
        Ok((seed, step))
    }

    pub(super) fn whole_number(&mut self) -> Result<i64> {
        let negative = self.parser.consume_token(&Token::Minus);
        let number = match &self.parser.peek_token_ref().token {
            Token::Number(digits, _) => digits.parse::<i64>().ok(),
            _ => None,
        };
        let Some(number) = number else { return Err(self.unexpected()) };
        self.parser.next_token();
        Ok(if negative { -number } else { number })
    }

    fn key_kind(&mut self) -> Result<Option<KeyKind>> {
        let kind = if self.word("PRIMARY") {
            self.expect("KEY")?;
            KeyKind::Primary
        } else if self.word("UNIQUE") {
            KeyKind::Unique
        } else {
            return Ok(None);
        };
        let _ = self.word("CLUSTERED") || self.word("NONCLUSTERED");
        Ok(Some(kind))
    }

    fn key_columns(&mut self) -> Result<Vec<String>> {
        self.token(&Token::LParen)?;
        let mut columns = Vec::new();
        loop {
            columns.push(self.name()?);
            let _ = self.word("ASC") || self.word("DESC");
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.token(&Token::RParen)?;
        self.options()?;
        Ok(columns)
    }

    fn in_parentheses(&mut self) -> Result<sqlparser::ast::Expr> {
        self.token(&Token::LParen)?;
        let inner = self.expression()?;
        self.token(&Token::RParen)?;
        Ok(inner)
    }

    /// `WITH (PAD_INDEX = OFF, …)`: nothing of it changes what the twin does.
    fn options(&mut self) -> Result<()> {
        let follows = self.parser.peek_nth_token(1).token == Token::LParen;
        if !follows || !self.word("WITH") {
            return Ok(());
        }
        self.token(&Token::LParen)?;
        let mut open = 1_usize;
        while open > 0 {
            match self.parser.next_token().token {
                Token::LParen => open += 1,
                Token::RParen => open -= 1,
                Token::EOF => return Err(self.unexpected()),
                _ => {}
            }
        }
        Ok(())
    }

    fn index(&mut self) -> Result<Kind> {
        let unique = self.word("UNIQUE");
        let _ = self.word("CLUSTERED") || self.word("NONCLUSTERED");
        self.expect("INDEX")?;
        let name = self.name()?;
        self.expect("ON")?;
        let table = self.object_name()?;
        let columns = self.key_columns()?;
        if self.word("INCLUDE") {
            self.key_columns()?;
        }
        self.options()?;
        let index = IndexDefinition { name, unique, table, columns };
        Ok(Kind::CreateIndex(Box::new(index)))
    }

    fn alteration(&mut self) -> Result<Alteration> {
        if self.word("WITH") && !(self.word("CHECK") || self.word("NOCHECK")) {
            return Err(self.unexpected());
        }
        if self.word("ADD") {
            let (mut columns, mut constraints) = (Vec::new(), Vec::new());
            loop {
                self.element(&mut columns, &mut constraints)?;
                if !self.parser.consume_token(&Token::Comma) {
                    return Ok(Alteration::Add { columns, constraints });
                }
            }
        }
        if self.word("ALTER") {
            self.expect("COLUMN")?;
            let mut constraints = Vec::new();
            let column = self.column_definition(&mut constraints)?;
            return if constraints.is_empty() {
                Ok(Alteration::AlterColumn(column))
            } else {
                Err(self.unexpected())
            };
        }
        self.expect("DROP")?;
        let columns = self.word("COLUMN");
        if !columns {
            let _ = self.word("CONSTRAINT");
        }
        let _ = self.if_exists()?;
        let mut names = vec![self.name()?];
        while self.parser.consume_token(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(if columns {
            Alteration::DropColumns(names)
        } else {
            Alteration::DropConstraints(names)
        })
    }

    /// What is T-SQL and not served here.
    fn not_here(&self) -> Error {
        self.unexpected()
    }
}
