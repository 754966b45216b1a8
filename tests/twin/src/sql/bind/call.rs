//! Function calls.

use sqlparser::ast;

use super::super::error::{Error, Result};
use super::super::functions::{self, DatePart, Function};
use super::super::ir::Scalar;
use super::expression::{no_function, word_of};
use super::{Binder, name_parts, refused};

impl Binder<'_> {
    pub(super) fn function(&mut self, function: &ast::Function) -> Result<Scalar> {
        let parts = name_parts(&function.name).ok_or_else(|| refused(function))?;
        if let Some(over) = &function.over {
            let name = parts.last().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
            return self.window(&name, function, over);
        }
        if function.filter.is_some()
            || function.null_treatment.is_some()
            || function.uses_odbc_syntax
            || !matches!(function.parameters, ast::FunctionArguments::None)
        {
            return Err(super::super::error::syntax_near_keyword("FILTER"));
        }
        let name = parts.last().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
        if let [_] = parts.as_slice()
            && let Some(scalar) = self.aggregate(&name, function)?
        {
            return Ok(scalar);
        }
        let in_sys = match parts.as_slice() {
            [_] => false,
            [schema, _] | [_, schema, _] => schema.eq_ignore_ascii_case("sys"),
            _ => return Err(no_function(&parts)),
        };
        let arguments = plain_arguments(function)?;
        if in_sys != name.starts_with("FN_HADR") {
            return Err(no_function(&parts));
        }
        if parts.len() > 1 && !in_sys {
            return Err(no_function(&parts));
        }
        if let Some(scalar) = self.shorthand(&name, &arguments)? {
            return Ok(scalar);
        }
        if let Some(scalar) = self.date_function(&name, &arguments)? {
            return Ok(scalar);
        }
        let (found, least, most) = functions::find(&name).ok_or_else(|| no_function(&parts))?;
        functions::check_count(&name, arguments.len(), least, most)?;
        let bound = arguments.iter().map(|expr| self.scalar(expr)).collect::<Result<Vec<_>>>()?;
        functions::call(&name, found, bound)
    }

    /// Functions whose first argument is a word, and the shorthands YEAR, MONTH and DAY.
    fn date_function(&mut self, name: &str, arguments: &[&ast::Expr]) -> Result<Option<Scalar>> {
        let short = match name {
            "YEAR" => Some(DatePart::Year),
            "MONTH" => Some(DatePart::Month),
            "DAY" => Some(DatePart::Day),
            _ => None,
        };
        if let Some(part) = short {
            functions::check_count(name, arguments.len(), 1, 1)?;
            let argument = self.scalar(arguments[0])?;
            return functions::call(name, Function::DatePart(part), vec![argument]).map(Some);
        }
        let (count, make): (usize, fn(DatePart) -> Function) = match name {
            "DATEDIFF" => (3, Function::DateDiff),
            "DATEDIFF_BIG" => (3, Function::DateDiffBig),
            "DATEADD" => (3, Function::DateAdd),
            "DATEPART" => (2, Function::DatePart),
            "DATENAME" => (2, Function::DateName),
            _ => return Ok(None),
        };
        functions::check_count(name, arguments.len(), count, count)?;
        let word = word_of(arguments[0]);
        let Some(part) = word.and_then(DatePart::find) else {
            let text =
                format!("'{}' is not a recognized {} option.", arguments[0], name.to_lowercase());
            return Err(Error::new(155, 15, text));
        };
        let rest =
            arguments[1..].iter().map(|expr| self.scalar(expr)).collect::<Result<Vec<_>>>()?;
        functions::call(name, make(part), rest).map(Some)
    }
}

/// The arguments of a call that has nothing but expressions between its parentheses.
pub(super) fn plain_arguments(function: &ast::Function) -> Result<Vec<&ast::Expr>> {
    let list = match &function.args {
        ast::FunctionArguments::None => return Ok(Vec::new()),
        ast::FunctionArguments::Subquery(_) => return Err(refused(function)),
        ast::FunctionArguments::List(list) => list,
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return Err(refused(function));
    }
    list.args
        .iter()
        .map(|argument| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr),
            _ => Err(super::super::error::syntax_near("*")),
        })
        .collect()
}
