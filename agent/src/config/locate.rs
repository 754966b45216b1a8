//! From a key to its place in the text, and back.

use std::{fmt, ops::Range, sync::LazyLock};

use toml::{
    Spanned, Table, Value,
    de::{DeString, DeTable, DeValue},
};

use super::problem::Problem;

/// The way to a value, as `links[0].policy.misses`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Key(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Name(String),
    Place(usize),
}

/// A text with the places of all that is in it.
pub(super) struct Document<'a> {
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

/// The tables and keys that there are, as the reference has them.
static KNOWN: LazyLock<Table> = LazyLock::new(|| {
    let mut known: Table = toml::from_str(&uncommented(super::REFERENCE)).unwrap_or_default();
    // A link takes any threshold for itself.
    let policy = known.get("policy").cloned();
    if let (Some(policy), Some(Value::Array(links))) = (policy, known.get_mut("links")) {
        for link in links.iter_mut().filter_map(Value::as_table_mut) {
            link.insert("policy".into(), policy.clone());
        }
    }
    // The second login of an instance is as the first.
    for section in ["sql_servers", "managed_instances"] {
        let instances = known.get_mut(section).and_then(Value::as_array_mut);
        for instance in instances.into_iter().flatten().filter_map(Value::as_table_mut) {
            if let Some(login) = instance.get("login").cloned() {
                instance.insert("action_login".into(), login);
            }
        }
    }
    known
});

impl Key {
    pub(super) fn new(name: &str) -> Self {
        Self::default().at(name)
    }

    pub(super) fn at(&self, name: &str) -> Self {
        self.and(Part::Name(name.to_owned()))
    }

    pub(super) fn nth(&self, place: usize) -> Self {
        self.and(Part::Place(place))
    }

    fn and(&self, part: Part) -> Self {
        let mut parts = self.0.clone();
        parts.push(part);
        Self(parts)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            match part {
                Part::Place(place) => write!(f, "[{place}]")?,
                Part::Name(name) => {
                    let dot = if at == 0 { "" } else { "." };
                    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    if !name.is_empty() && name.chars().all(bare) {
                        write!(f, "{dot}{name}")?;
                    } else {
                        write!(f, "{dot}{name:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl<'a> Document<'a> {
    /// Reads the syntax alone.
    pub(super) fn parse(text: &'a str) -> Result<Self, Problem> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Self { text, root }),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let what = format!("this is not TOML: {}", error.message().replace('\n', ", "));
                Err(Problem::new(Some(position(text, at)), None, what, String::new()))
            }
        }
    }

    /// Line and column of a key, each counted from 1; of a missing one those of what should have
    /// it.
    pub(super) fn place(&self, key: &Key) -> Option<(usize, usize)> {
        let mut table = self.root.get_ref();
        let mut value: Option<&DeValue<'_>> = None;
        let mut found: Option<usize> = None;
        for part in &key.0 {
            match (part, value) {
                (Part::Name(name), _) => {
                    let Some((key, next)) = entry(table, name) else { break };
                    found = Some(key.span().start);
                    value = Some(next.get_ref());
                }
                (Part::Place(place), Some(DeValue::Array(array))) => {
                    let Some(next) = array.get(*place) else { break };
                    found = Some(next.span().start);
                    value = Some(next.get_ref());
                }
                (Part::Place(_), _) => break,
            }
            if let Some(DeValue::Table(inner)) = value {
                table = inner;
            }
        }
        found.map(|at| position(self.text, at))
    }

    /// Line and column of a byte.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        position(self.text, at)
    }

    /// The key to which a place in the text belongs.
    pub(super) fn key_at(&self, span: &Range<usize>) -> Key {
        let mut best = (usize::MAX, Key::default());
        search(self.root.get_ref(), &Key::default(), span, &mut best);
        best.1
    }

    /// Every key that there is no such key as.
    pub(super) fn unknown_keys(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        self.unknown(self.root.get_ref(), &KNOWN, &Key::default(), &mut found);
        found
    }

    fn unknown(&self, table: &DeTable<'_>, known: &Table, path: &Key, found: &mut Vec<Problem>) {
        // Approvers have names of their own, and so have the labels of alerts.
        let own =
            *path == Key::new("approvers") || path.0.last() == Some(&Part::Name("match".into()));
        let any = own.then(|| known.values().next()).flatten();
        for (name, value) in table {
            let key = path.at(name.get_ref());
            let Some(model) = any.or_else(|| known.get(name.get_ref().as_ref())) else {
                found.push(self.unknown_key(name, known, &key, path));
                continue;
            };
            match (value.get_ref(), model) {
                // A secret: its two ways are told apart when it is read.
                (DeValue::Table(_), Value::Table(model)) if model.keys().eq(["file"]) => {}
                (DeValue::Table(inner), Value::Table(model)) => {
                    self.unknown(inner, model, &key, found);
                }
                (DeValue::Array(items), Value::Array(models)) => {
                    let Some(Value::Table(model)) = models.first() else { continue };
                    for (place, item) in items.iter().enumerate() {
                        if let DeValue::Table(inner) = item.get_ref() {
                            self.unknown(inner, model, &key.nth(place), found);
                        }
                    }
                }
                // Another type than it has to be is found when it is read.
                (_, _) => {}
            }
        }
    }

    fn unknown_key(
        &self,
        name: &Spanned<DeString<'_>>,
        known: &Table,
        key: &Key,
        path: &Key,
    ) -> Problem {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let right = match nearest(name.get_ref(), &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", listed(&names)),
        };
        let what = if path.0.is_empty() {
            "there is no such key at the top".to_owned()
        } else {
            format!("there is no such key in {path}")
        };
        Problem::new(Some(self.position(name.span().start)), Some(key), what, right)
    }
}

/// The reference with its commented-out keys in force; `#key` is one, `# words` are words.
pub(super) fn uncommented(reference: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            format!("{key}\n")
        }
        Some(_) | None => format!("{line}\n"),
    };
    reference.lines().map(line).collect()
}

/// How a key stands in the reference: an example of what would be right.
pub(super) fn example(key: &Key) -> Option<String> {
    let mut value = &Value::Table(KNOWN.clone());
    for (at, part) in key.0.iter().enumerate() {
        value = match part {
            Part::Place(_) => value.as_array()?.first()?,
            Part::Name(_) if at == 1 && key.0.first() == Some(&Part::Name("approvers".into())) => {
                value.as_table()?.values().next()?
            }
            Part::Name(name) => value.as_table()?.get(name)?,
        };
    }
    let shown = match value {
        Value::Table(table) => {
            let inner: Vec<String> =
                table.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("{{ {} }}", inner.join(", "))
        }
        Value::Array(items) if items.iter().any(Value::is_table) => {
            return Some(format!("[[{key}]]"));
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => value.to_string(),
    };
    match key.0.last()? {
        Part::Name(name) => Some(format!("{name} = {shown}")),
        Part::Place(_) => None,
    }
}

/// The name that was probably meant.
pub(super) fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let most = (name.chars().count() / 3).max(1);
    names
        .iter()
        .map(|known| (distance(name, known), *known))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Names as a list for people.
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn entry<'t, 'd>(
    table: &'t DeTable<'d>,
    name: &str,
) -> Option<(&'t Spanned<DeString<'d>>, &'t Spanned<DeValue<'d>>)> {
    table.iter().find(|(key, _)| key.get_ref() == name)
}

/// Looks for the smallest value, or key, around a span.
fn search(table: &DeTable<'_>, path: &Key, span: &Range<usize>, best: &mut (usize, Key)) {
    for (name, value) in table {
        let key = path.at(name.get_ref());
        consider(name.span(), &key, span, best);
        search_value(value, &key, span, best);
    }
}

fn search_value(
    value: &Spanned<DeValue<'_>>,
    key: &Key,
    span: &Range<usize>,
    best: &mut (usize, Key),
) {
    consider(value.span(), key, span, best);
    match value.get_ref() {
        DeValue::Table(inner) => search(inner, key, span, best),
        DeValue::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                search_value(item, &key.nth(place), span, best);
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

fn consider(around: Range<usize>, key: &Key, span: &Range<usize>, best: &mut (usize, Key)) {
    let size = around.end - around.start;
    if around.start <= span.start && span.end <= around.end && size <= best.0 {
        *best = (size, key.clone());
    }
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// How many letters have to be changed, added or left out.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (place, d) in other.iter().enumerate() {
            let changed = diagonal + usize::from(c != *d);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}
