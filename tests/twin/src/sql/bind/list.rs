//! Select lists.

use sqlparser::ast;

use super::super::error::{Error, Result, undeclared_variable};
use super::super::ir::{Node, Scalar};
use super::super::session::Session;
use super::super::types::Type;
use super::{Binder, Place, converted, refused};

/// A bound select list.
pub(super) struct Items {
    pub(super) items: Vec<Scalar>,
    pub(super) names: Vec<String>,
    /// The variables that the items are assigned to.
    pub(super) assign: Option<Vec<(String, Type)>>,
}

impl Binder<'_> {
    pub(super) fn items(&mut self, projection: &[ast::SelectItem], place: Place) -> Result<Items> {
        let mut items = Items { items: Vec::new(), names: Vec::new(), assign: None };
        let mut assigned = Vec::new();
        for item in projection {
            match item {
                ast::SelectItem::Wildcard(options) if is_plain(options) => {
                    self.expand(None, &mut items)?;
                }
                ast::SelectItem::QualifiedWildcard(
                    ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) if is_plain(options) => self.expand(Some(name), &mut items)?,
                ast::SelectItem::UnnamedExpr(expr) => {
                    items.names.push(match expr {
                        ast::Expr::Identifier(ident) if !ident.value.starts_with('@') => {
                            ident.value.clone()
                        }
                        ast::Expr::CompoundIdentifier(parts) => {
                            parts.last().map(|part| part.value.clone()).unwrap_or_default()
                        }
                        _ => String::new(),
                    });
                    items.items.push(self.scalar(expr)?);
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    let scalar = self.scalar(expr)?;
                    let variable = alias.quote_style.is_none() && alias.value.starts_with('@');
                    if variable && place == Place::Top {
                        let key = Session::key(&alias.value);
                        let Some((ty, _)) = self.session.variables.get(&key) else {
                            return Err(undeclared_variable(&alias.value));
                        };
                        assigned.push((key, *ty));
                        items.items.push(converted(scalar, *ty)?);
                    } else {
                        items.items.push(scalar);
                    }
                    items.names.push(alias.value.clone());
                }
                _ => return Err(refused(item)),
            }
        }
        if !assigned.is_empty() {
            if assigned.len() != items.items.len() {
                let text = "A SELECT statement that assigns a value to a variable must not be \
                            combined with data-retrieval operations.";
                return Err(Error::new(141, 15, text));
            }
            items.assign = Some(assigned);
        }
        Ok(items)
    }

    fn expand(&mut self, of: Option<&ast::ObjectName>, into: &mut Items) -> Result<()> {
        let qualifier: Vec<ast::Ident> = match of {
            Some(name) => name.0.iter().filter_map(|part| part.as_ident()).cloned().collect(),
            None => Vec::new(),
        };
        let tables = self.scopes.last().map(|scope| scope.tables.clone()).unwrap_or_default();
        if tables.is_empty() {
            return Err(Error::new(263, 16, "Must specify table to select from."));
        }
        let mut found = false;
        for table in tables.iter().filter(|table| table.is_called(&qualifier)) {
            found = true;
            for (at, column) in table.columns.iter().enumerate() {
                let node = Node::Column { up: 0, index: table.offset + at };
                into.names.push(column.name.clone());
                into.items.push(Scalar { ty: column.ty, nullable: column.nullable, node });
            }
        }
        if found {
            return Ok(());
        }
        let shown = qualifier.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(".");
        let text = format!(
            "The column prefix '{shown}' does not match with a table name or alias name used in \
             the query."
        );
        Err(Error::new(107, 15, text))
    }
}

fn is_plain(options: &ast::WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}
