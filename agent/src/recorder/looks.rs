//! Looks on their way to the disk and back. Most are the one before them with other times, so only
//! what differs is written.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The newest look of each vantage at each link, as both sides of the file know it.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks {
    newest: BTreeMap<(String, String), Value>,
}

impl Looks {
    /// A look as it is written.
    pub(super) fn pack(&mut self, look: Value) -> Value {
        let key = key(&look);
        let before = self.newest.get(&key);
        let packed = match before.and_then(|before| difference(before, &look)) {
            Some(but) => json!({ "link": key.0, "vantage": key.1, "but": but }),
            None => json!({ "full": look }),
        };
        self.newest.insert(key, look);
        packed
    }

    /// A look as it was.
    pub(super) fn unpack(&mut self, mut packed: Value) -> Result<Value, String> {
        let look = match packed.get_mut("full") {
            Some(full) => full.take(),
            None => {
                let before = self.newest.get(&key(&packed));
                let mut look =
                    before.cloned().ok_or("a look says what differs, and not from what")?;
                apply(&mut look, packed["but"].take());
                look
            }
        };
        self.newest.insert(key(&look), look.clone());
        Ok(look)
    }

    /// The same for every list of looks in a value.
    pub(super) fn pack_all(&mut self, value: &mut Value) {
        let Ok(()) = each(value, &mut |look| {
            *look = self.pack(look.take());
            Ok::<_, std::convert::Infallible>(())
        });
    }

    pub(super) fn unpack_all(&mut self, value: &mut Value) -> Result<(), String> {
        each(value, &mut |look| {
            *look = self.unpack(look.take())?;
            Ok(())
        })
    }
}

fn key(look: &Value) -> (String, String) {
    let text = |name: &str| look[name].as_str().unwrap_or_default().to_owned();
    (text("link"), text("vantage"))
}

/// Every element of every list that is named `looks`.
fn each<E>(value: &mut Value, of: &mut impl FnMut(&mut Value) -> Result<(), E>) -> Result<(), E> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| each(item, of)),
        Value::Object(fields) => fields.iter_mut().try_for_each(|(name, field)| match field {
            Value::Array(looks) if name == "looks" => looks.iter_mut().try_for_each(&mut *of),
            Value::Array(_)
            | Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => each(field, of),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// What has to be put into `old` to make it `new`. None if they have not the same fields: then what
/// differs could be taken for something else.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return None };
    if old.len() != new.len() || !old.keys().eq(new.keys()) {
        return None;
    }
    let mut but = Map::new();
    for ((name, was), (_, is)) in old.iter().zip(new) {
        if was == is {
            continue;
        }
        let both = was.is_object() && is.is_object();
        let is = if both { difference(was, is)? } else { is.clone() };
        but.insert(name.clone(), is);
    }
    Some(Value::Object(but))
}

fn apply(old: &mut Value, but: Value) {
    match (old, but) {
        (Value::Object(old), Value::Object(but)) => {
            for (name, is) in but {
                apply(old.entry(name).or_insert(Value::Null), is);
            }
        }
        (old, but) => *old = but,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(seen: Value) -> Value {
        json!({ "link": "orders", "vantage": "sql_server", "at": "2026-01-02T03:04:05Z", "seen": seen })
    }

    #[test]
    fn what_comes_back_is_what_was_put_in() {
        let (mut there, mut back) = (Looks::default(), Looks::default());
        for (seen, most) in [
            (json!({ "side": { "role": "primary", "lsn": "1", "database": null } }), 200),
            (json!({ "side": { "role": "primary", "lsn": "2", "database": null } }), 100),
            (json!({ "side": { "role": "primary", "lsn": "2", "database": { "a": 1 } } }), 100),
            (json!({ "side": { "role": "primary", "lsn": "2", "database": { "b": 1 } } }), 200),
            (json!({ "side": { "role": "primary", "lsn": "2", "database": null } }), 100),
            (json!({ "silence": { "kind": "refused" } }), 200),
            (json!({ "silence": { "kind": "refused" } }), 60),
            (json!({ "silence": { "kind": ["refused"] } }), 100),
        ] {
            let packed = there.pack(look(seen.clone()));
            assert!(packed.to_string().len() < most, "{packed}");
            assert_eq!(back.unpack(packed).expect("it can be read"), look(seen));
        }
    }

    #[test]
    fn a_difference_from_nothing_is_refused() {
        let packed = json!({ "link": "orders", "vantage": "sql_server", "but": {} });
        assert!(Looks::default().unpack(packed).is_err());
    }

    #[test]
    fn every_list_of_looks_is_found() {
        let whole = json!([["orders", { "sql_server": { "looks": [look(json!(1)), look(json!(2))],
            "heard": null }, "control_plane": { "looks": [] } }]]);
        let mut packed = whole.clone();
        Looks::default().pack_all(&mut packed);
        assert_ne!(packed, whole);
        Looks::default().unpack_all(&mut packed).expect("it can be read");
        assert_eq!(packed, whole);
    }
}
