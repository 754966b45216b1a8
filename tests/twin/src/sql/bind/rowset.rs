//! Functions that give rows, in FROM and behind APPLY.

use sqlparser::ast;

use super::super::env::major;
use super::super::error::{Error, Result, invalid_object};
use super::super::ir::{Call, Column, Node, Rowset, Scalar, Source};
use super::super::types::{Length, Type};
use super::super::value::Value;
use super::super::views;
use super::{Binder, Scope, Table, converted, refused};

impl Binder<'_> {
    /// Binds a call; its arguments see the tables on its left if it is applied to them.
    pub(super) fn called(
        &mut self,
        parts: &[String],
        args: &ast::TableFunctionArgs,
        alias: Option<&ast::TableAlias>,
        sees: Vec<Table>,
    ) -> Result<(Source, Vec<Table>)> {
        let shown = parts.join(".");
        let scope = Scope { tables: sees, ..Scope::default() };
        let (rowset, arguments, mut columns) = match parts {
            [name] if name.eq_ignore_ascii_case("STRING_SPLIT") => {
                let (arguments, _) = self.within(scope, |binder| binder.arguments(args))?;
                self.split(arguments)?
            }
            [schema, name] | [_, schema, name] if schema.eq_ignore_ascii_case("sys") => {
                self.of_catalog(name, &shown, args, scope)?
            }
            // These need no schema.
            [name] if name.to_ascii_lowercase().starts_with("fn_") => {
                self.of_catalog(name, &shown, args, scope)?
            }
            _ => return Err(invalid_object(&shown)),
        };
        let named = alias.map_or(&[][..], |alias| alias.columns.as_slice());
        if !named.is_empty() && named.len() != columns.len() {
            let more = if named.len() < columns.len() { "more" } else { "fewer" };
            let text = format!(
                "'{}' has {more} columns than were specified in the column list.",
                alias.map_or("", |alias| alias.name.value.as_str())
            );
            return Err(Error::new(8158, 16, text));
        }
        for (column, name) in columns.iter_mut().zip(named) {
            column.name.clone_from(&name.name.value);
        }
        let width = columns.len();
        let last = parts.last().cloned().unwrap_or_default();
        let name = alias.map_or(last, |alias| alias.name.value.clone());
        let table = Table { name, qualified: Vec::new(), columns, offset: 0 };
        Ok((Source::Call(Box::new(Call { rowset, arguments, width })), vec![table]))
    }

    fn of_catalog(
        &mut self,
        name: &str,
        shown: &str,
        args: &ast::TableFunctionArgs,
        scope: Scope,
    ) -> Result<(Rowset, Vec<Scalar>, Vec<Column>)> {
        let version = (major(self.env.instance), self.env.is_managed());
        let (function, parameters) =
            views::find_function(version, name).ok_or_else(|| invalid_object(shown))?;
        check_count(shown, args.args.len(), parameters.len(), parameters.len())?;
        let (arguments, _) = self.within(scope, |binder| binder.arguments(args))?;
        let typed = arguments.into_iter().zip(parameters);
        let arguments = typed.map(|(argument, ty)| converted(argument, *ty));
        let arguments = arguments.collect::<Result<Vec<_>>>()?;
        Ok((Rowset::Catalog(function), arguments, function.columns.clone()))
    }

    fn arguments(&mut self, args: &ast::TableFunctionArgs) -> Result<Vec<Scalar>> {
        args.args.iter().map(|argument| self.argument(argument)).collect()
    }

    fn argument(&mut self, argument: &ast::FunctionArg) -> Result<Scalar> {
        let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) = argument else {
            return Err(refused(argument));
        };
        if matches!(expr, ast::Expr::Identifier(word) if word.value.eq_ignore_ascii_case("DEFAULT"))
        {
            return Ok(Scalar::literal(Type::Int, Value::Null));
        }
        self.scalar(expr)
    }

    /// `STRING_SPLIT(text, separator)`, from 2022 on with a third argument that asks for numbers.
    fn split(&self, mut arguments: Vec<Scalar>) -> Result<(Rowset, Vec<Scalar>, Vec<Column>)> {
        let most = if major(self.env.instance) >= 16 { 3 } else { 2 };
        check_count("string_split", arguments.len(), 2, most)?;
        let ordinal = match arguments.get(2).map(|wanted| &wanted.node) {
            None | Some(Node::Literal(Value::Null | Value::Int(0) | Value::Bit(false))) => false,
            Some(Node::Literal(Value::Int(1) | Value::Bit(true))) => true,
            Some(_) => {
                let text = "The enable_ordinal argument for string_split only supports constant \
                            values (not variables or columns).";
                return Err(Error::new(8748, 16, text));
            }
        };
        arguments.truncate(2);
        let own = arguments[0].ty;
        if !own.is_text() && !arguments[0].is_null_literal() {
            let text = format!(
                "Argument data type {} is invalid for argument 1 of string_split function.",
                own.name()
            );
            return Err(Error::new(8116, 16, text));
        }
        if arguments[1].ty.length() != Some(Length::Of(1)) {
            let text = "Procedure expects parameter 'separator' of type 'nchar(1)/nvarchar(1)'.";
            return Err(Error::new(214, 16, text).state(11));
        }
        let wide = arguments.iter().any(|argument| argument.ty.is_unicode());
        let length = match own.length() {
            Some(Length::Of(n)) if wide => Length::Of(n.min(4000)),
            Some(length) => length,
            None => Length::Of(1),
        };
        let ty = if wide { Type::NVarChar(length) } else { Type::VarChar(length) };
        let column = |name: &str, ty| Column { name: name.to_owned(), ty, nullable: true };
        let mut columns = vec![column("value", ty)];
        if ordinal {
            columns.push(column("ordinal", Type::BigInt));
        }
        Ok((Rowset::Split { ordinal }, arguments, columns))
    }
}

/// 313 and 8144.
fn check_count(name: &str, given: usize, least: usize, most: usize) -> Result<()> {
    if given < least {
        let text = format!(
            "An insufficient number of arguments were supplied for the procedure or function \
             {name}."
        );
        return Err(Error::new(313, 16, text).state(3));
    }
    if given > most {
        let text = format!("Procedure or function {name} has too many arguments specified.");
        return Err(Error::new(8144, 16, text).state(3));
    }
    Ok(())
}
