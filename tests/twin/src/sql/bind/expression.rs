//! Expressions that give a value.

use sqlparser::ast;

use super::super::convert;
use super::super::decimal::Numeric;
use super::super::error::{Error, Result, invalid_column, undeclared_variable, unknown_function};
use super::super::functions::{self, Function};
use super::super::ir::{Comparison, Node, Predicate, Scalar};
use super::super::session::Session;
use super::super::types::{Length, Type};
use super::super::value::Value;
use super::{Binder, Place, conversion, converted, refused};

impl Binder<'_> {
    pub(super) fn scalar(&mut self, expr: &ast::Expr) -> Result<Scalar> {
        self.deeper(|binder| binder.scalar_inner(expr))
    }

    fn scalar_inner(&mut self, expr: &ast::Expr) -> Result<Scalar> {
        use ast::Expr;
        match expr {
            Expr::Identifier(ident) => self.identifier(ident),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::Nested(inner) => self.scalar(inner),
            Expr::Value(value) => literal(&value.value),
            Expr::UnaryOp { op, expr: inner } => self.unary(*op, inner, expr),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, expr),
            Expr::Function(function) => self.function(function),
            Expr::Cast { kind, expr: inner, data_type, format: None } => {
                let or_null = match kind {
                    ast::CastKind::Cast => false,
                    ast::CastKind::TryCast => true,
                    _ => return Err(refused(expr)),
                };
                self.cast(inner, data_type, None, or_null)
            }
            Expr::Convert { is_try, expr: inner, data_type: Some(data_type), styles, .. } => {
                match styles.as_slice() {
                    [] => self.cast(inner, data_type, None, *is_try),
                    [style] => self.cast(inner, data_type, Some(style), *is_try),
                    _ => Err(refused(expr)),
                }
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Subquery(query) => {
                let query = self.query(query, Place::Subquery)?;
                let [column] = query.columns.as_slice() else { return Err(one_expression()) };
                let ty = column.ty;
                Ok(Scalar { ty, nullable: true, node: Node::Subquery(Box::new(query)) })
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                let arguments = vec![self.scalar(timestamp)?, self.scalar(time_zone)?];
                functions::call("AT TIME ZONE", Function::AtTimeZone, arguments)
            }
            Expr::Floor { expr: inner, .. } => {
                let argument = self.scalar(inner)?;
                functions::call("floor", Function::Floor, vec![argument])
            }
            Expr::Substring { expr: inner, substring_from, substring_for, .. } => {
                let (Some(from), Some(length)) = (substring_from, substring_for) else {
                    return Err(super::super::error::wrong_argument_count("substring", "3"));
                };
                let arguments = vec![self.scalar(inner)?, self.scalar(from)?, self.scalar(length)?];
                functions::call("substring", Function::Substring, arguments)
            }
            Expr::Trim {
                expr: inner,
                trim_where: None,
                trim_what: None,
                trim_characters: None,
            } => {
                let argument = self.scalar(inner)?;
                functions::call("trim", Function::Trim, vec![argument])
            }
            // One collation is served; naming it, or another one, changes nothing but the sort.
            Expr::Collate { expr: inner, .. } => self.scalar(inner),
            _ => Err(refused(expr)),
        }
    }

    fn identifier(&mut self, ident: &ast::Ident) -> Result<Scalar> {
        let name = ident.value.as_str();
        if ident.quote_style.is_none()
            && let Some(function) = functions::find_word(name)
        {
            return functions::call(name, function, Vec::new());
        }
        if ident.quote_style.is_some() || !name.starts_with('@') {
            return self.column(std::slice::from_ref(ident));
        }
        if name.starts_with("@@") {
            let function = functions::find_global(name).ok_or_else(|| undeclared_variable(name))?;
            return functions::call(name, function, Vec::new());
        }
        let key = Session::key(name);
        let Some((ty, _)) = self.session.variables.get(&key) else {
            return Err(undeclared_variable(name));
        };
        Ok(Scalar { ty: *ty, nullable: true, node: Node::Variable(key) })
    }

    fn cast(
        &mut self,
        inner: &ast::Expr,
        data_type: &ast::DataType,
        style: Option<&ast::Expr>,
        or_null: bool,
    ) -> Result<Scalar> {
        let mut ty = super::super::parse::type_of(data_type)?;
        // In a CAST, a string without a length has thirty characters.
        if !data_type.to_string().contains('(') {
            ty = match ty {
                Type::Char(_) => Type::Char(30),
                Type::NChar(_) => Type::NChar(30),
                Type::Binary(_) => Type::Binary(30),
                Type::VarChar(Length::Of(1)) => Type::VarChar(Length::Of(30)),
                Type::NVarChar(Length::Of(1)) => Type::NVarChar(Length::Of(30)),
                Type::VarBinary(Length::Of(1)) => Type::VarBinary(Length::Of(30)),
                other => other,
            };
        }
        let inner = self.scalar(inner)?;
        let style = match style {
            Some(style) => Some(Box::new(converted(self.scalar(style)?, Type::Int)?)),
            None => None,
        };
        if inner.is_null_literal() {
            return Ok(Scalar::literal(ty, Value::Null));
        }
        convert::check(inner.ty, ty, true)?;
        Ok(conversion(inner, ty, style, or_null))
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
    ) -> Result<Scalar> {
        let operand = operand.map(|operand| self.scalar(operand)).transpose()?;
        let mut tests = Vec::new();
        let mut results = Vec::new();
        for when in conditions {
            tests.push(match &operand {
                Some(operand) => {
                    let right = self.scalar(&when.condition)?;
                    super::predicate::compare(Comparison::Equal, operand.clone(), right)?
                }
                None => self.predicate(&when.condition)?,
            });
            results.push(self.scalar(&when.result)?);
        }
        let has_else = otherwise.is_some();
        if let Some(otherwise) = otherwise {
            results.push(self.scalar(otherwise)?);
        }
        if results.iter().all(Scalar::is_null_literal) {
            let text = "At least one of the result expressions in a CASE specification must be an \
                        expression other than the NULL constant.";
            return Err(Error::new(8133, 16, text));
        }
        let (ty, mut results) = unified(results)?;
        let otherwise = if has_else { results.pop().map(Box::new) } else { None };
        let nullable = !has_else
            || otherwise.as_ref().is_some_and(|scalar| scalar.nullable)
            || results.iter().any(|scalar| scalar.nullable);
        let branches = tests.into_iter().zip(results).collect();
        Ok(Scalar { ty, nullable, node: Node::Case { branches, otherwise } })
    }

    /// Functions that are shorthand for something else.
    pub(super) fn shorthand(
        &mut self,
        name: &str,
        arguments: &[&ast::Expr],
    ) -> Result<Option<Scalar>> {
        Ok(Some(match (name, arguments) {
            ("COALESCE", list) if list.len() >= 2 => {
                let list = list.iter().map(|expr| self.scalar(expr)).collect::<Result<Vec<_>>>()?;
                if list.iter().all(Scalar::is_null_literal) {
                    let text = "At least one of the arguments to COALESCE must be an expression \
                                that is not the NULL constant.";
                    return Err(Error::new(4127, 16, text));
                }
                let (ty, list) = unified(list)?;
                let nullable = list.iter().all(|scalar| scalar.nullable);
                Scalar { ty, nullable, node: Node::Coalesce(list) }
            }
            ("ISNULL", [first, second]) => {
                let (first, second) = (self.scalar(first)?, self.scalar(second)?);
                let ty = if first.is_null_literal() { second.ty } else { first.ty };
                let list = vec![converted(first, ty)?, converted(second, ty)?];
                let nullable = list.iter().all(|scalar| scalar.nullable);
                Scalar { ty, nullable, node: Node::Coalesce(list) }
            }
            ("NULLIF", [first, second]) => {
                let (first, second) = (self.scalar(first)?, self.scalar(second)?);
                let ty = first.ty;
                let same = super::predicate::compare(Comparison::Equal, first.clone(), second)?;
                let null = Scalar::literal(ty, Value::Null);
                let otherwise = Some(Box::new(first));
                let node = Node::Case { branches: vec![(same, null)], otherwise };
                Scalar { ty, nullable: true, node }
            }
            ("IIF", [condition, yes, no]) => {
                let condition = self.predicate(condition)?;
                let results = vec![self.scalar(yes)?, self.scalar(no)?];
                self.iif(condition, results)?
            }
            ("CHOOSE", [place, list @ ..]) if !list.is_empty() => self.choose(place, list)?,
            _ => return Ok(None),
        }))
    }

    /// The one of that number; NULL if there are not so many.
    fn choose(&mut self, place: &ast::Expr, list: &[&ast::Expr]) -> Result<Scalar> {
        let place = converted(self.scalar(place)?, Type::Int)?;
        let list = list.iter().map(|expr| self.scalar(expr)).collect::<Result<Vec<_>>>()?;
        let (ty, list) = unified(list)?;
        let mut branches = Vec::new();
        for (number, item) in (1_i64..).zip(list) {
            let number = Scalar::literal(Type::Int, Value::Int(number));
            let meant = super::predicate::compare(Comparison::Equal, place.clone(), number)?;
            branches.push((meant, item));
        }
        Ok(Scalar { ty, nullable: true, node: Node::Case { branches, otherwise: None } })
    }

    fn iif(&mut self, condition: Predicate, results: Vec<Scalar>) -> Result<Scalar> {
        let nullable = results.iter().any(|scalar| scalar.nullable);
        let (ty, mut results) = unified(results)?;
        let otherwise = results.pop().map(Box::new);
        let yes = results.pop().unwrap_or_else(|| Scalar::literal(ty, Value::Null));
        Ok(Scalar {
            ty,
            nullable,
            node: Node::Case { branches: vec![(condition, yes)], otherwise },
        })
    }
}

/// All of them in the type where they meet; NULLs do not count.
pub(super) fn unified(list: Vec<Scalar>) -> Result<(Type, Vec<Scalar>)> {
    let types = list.iter().filter(|scalar| !scalar.is_null_literal()).map(|scalar| scalar.ty);
    let ty = types.reduce(Type::unify).unwrap_or(Type::Int);
    let list = list.into_iter().map(|scalar| converted(scalar, ty)).collect::<Result<_>>()?;
    Ok((ty, list))
}

/// 116: a subquery that is a value has one column.
pub(super) fn one_expression() -> Error {
    let text = "Only one expression can be specified in the select list when the subquery is not \
                introduced with EXISTS.";
    Error::new(116, 16, text)
}

fn literal(value: &ast::Value) -> Result<Scalar> {
    let text_length = |text: &str, most: usize| {
        let length = text.encode_utf16().count().max(1);
        match u16::try_from(length) {
            Ok(n) if length <= most => Length::Of(n),
            _ => Length::Max,
        }
    };
    Ok(match value {
        ast::Value::Null => Scalar::literal(Type::Int, Value::Null),
        ast::Value::Number(digits, false) => return number(digits),
        ast::Value::SingleQuotedString(text) => {
            let ty = Type::VarChar(text_length(text, 8000));
            Scalar::literal(ty, text.as_str().into())
        }
        ast::Value::NationalStringLiteral(text) => {
            let ty = Type::NVarChar(text_length(text, 4000));
            Scalar::literal(ty, text.as_str().into())
        }
        ast::Value::HexStringLiteral(digits) => {
            let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.clone() };
            let bytes: Option<Vec<u8>> = (0..padded.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(padded.get(at..at + 2)?, 16).ok())
                .collect();
            let bytes = bytes.ok_or_else(|| refused(value))?;
            let length = u16::try_from(bytes.len().clamp(1, 8000)).unwrap_or(8000);
            Scalar::literal(Type::VarBinary(Length::Of(length)), Value::Bytes(bytes))
        }
        // Boolean, placeholders and the quotes of other dialects.
        ast::Value::Boolean(_) => return Err(invalid_column(&value.to_string())),
        _ => return Err(refused(value)),
    })
}

fn number(digits: &str) -> Result<Scalar> {
    let wrong = || Error::new(102, 15, format!("Incorrect syntax near '{digits}'."));
    if digits.contains(['e', 'E']) {
        let number: f64 = digits.parse().map_err(|_| wrong())?;
        if !number.is_finite() {
            let text = format!(
                "The floating point value '{digits}' is out of the range of computer \
                 representation (8 bytes)."
            );
            return Err(Error::new(168, 15, text));
        }
        return Ok(Scalar::literal(Type::Float, Value::Float(number)));
    }
    if let Ok(n) = digits.parse::<i32>() {
        return Ok(Scalar::literal(Type::Int, n.into()));
    }
    let exact = Numeric::parse(digits).ok_or_else(|| {
        let text = format!(
            "The number '{digits}' is out of the range for numeric representation (maximum \
             precision 38)."
        );
        Error::new(1007, 15, text)
    })?;
    let ty = Type::Numeric { precision: exact.digits(), scale: exact.scale };
    Ok(Scalar::literal(ty, Value::Numeric(exact)))
}

/// The type of a literal integer where it meets a `numeric`: as many digits as it has.
pub(super) fn numeric_of(scalar: &Scalar) -> Option<(u8, u8)> {
    match &scalar.node {
        Node::Literal(Value::Int(n)) => Some((Numeric::new(i128::from(*n), 0).digits(), 0)),
        _ => scalar.ty.as_numeric(),
    }
}

/// 195 for a name without a schema, 4121 for one with.
pub(super) fn no_function(parts: &[String]) -> Error {
    match parts {
        [name] => unknown_function(name),
        _ => {
            let (shown, first) = (parts.join("."), parts.first().map_or("", String::as_str));
            let text = format!(
                "Cannot find either column \"{first}\" or the user-defined function or aggregate \
                 \"{shown}\", or the name is ambiguous."
            );
            Error::new(4121, 16, text)
        }
    }
}

/// A date part that is written as a word.
pub(super) fn word_of(expr: &ast::Expr) -> Option<&str> {
    match expr {
        ast::Expr::Identifier(ident) if ident.quote_style.is_none() => Some(&ident.value),
        _ => None,
    }
}
