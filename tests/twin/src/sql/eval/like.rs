//! LIKE.

use super::super::env::Env;
use super::super::error::{Error, Result};
use super::super::value::{Value, fold};

/// A piece of a pattern.
enum Piece {
    One(char),
    Any,
    Many,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

pub(crate) fn like(
    value: &Value,
    pattern: &Value,
    escape: Option<&Value>,
    env: &Env<'_>,
) -> Result<Option<bool>> {
    let (Value::Text(text), Value::Text(pattern)) = (value, pattern) else { return Ok(None) };
    let escape = match escape {
        None => None,
        Some(Value::Text(escape)) if escape.chars().count() == 1 => escape.chars().next(),
        Some(Value::Text(escape)) => {
            let text = format!(
                "The invalid escape character \"{escape}\" was specified in a LIKE predicate."
            );
            return Err(Error::new(506, 16, text));
        }
        Some(_) => return Ok(None),
    };
    let pieces = pieces(pattern, escape);
    let text: Vec<char> = text.chars().flat_map(fold).collect();
    env.spend(u64::try_from(pieces.len().saturating_mul(text.len())).unwrap_or(u64::MAX))?;
    // reached[i]: the pieces so far can match the first i characters.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for piece in &pieces {
        let mut next = vec![false; text.len() + 1];
        if let Piece::Many = piece {
            let mut any = false;
            for (at, before) in reached.iter().enumerate() {
                any |= before;
                next[at] = any;
            }
        } else {
            for (at, c) in text.iter().enumerate() {
                next[at + 1] = reached[at] && matches(piece, *c);
            }
        }
        reached = next;
    }
    // Blanks at the end of the text may be left over.
    let kept = text.iter().rposition(|c| *c != ' ').map_or(0, |at| at + 1);
    Ok(Some(reached[kept..].iter().any(|end| *end)))
}

fn matches(piece: &Piece, c: char) -> bool {
    match piece {
        Piece::One(wanted) => *wanted == c,
        Piece::Any => true,
        Piece::Many => false,
        Piece::Set { negated, ranges } => {
            ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
        }
    }
}

fn pieces(pattern: &str, escape: Option<char>) -> Vec<Piece> {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(&c) = pattern.get(at) {
        at += 1;
        if Some(c) == escape {
            if let Some(&next) = pattern.get(at) {
                pieces.extend(fold(next).map(Piece::One));
                at += 1;
            }
            continue;
        }
        match c {
            '%' => pieces.push(Piece::Many),
            '_' => pieces.push(Piece::Any),
            '[' => match set(&pattern[at..]) {
                Some((set, length)) => {
                    pieces.push(set);
                    at += length;
                }
                // Without its end, a bracket matches nothing.
                None => pieces.push(Piece::Set { negated: false, ranges: Vec::new() }),
            },
            c => pieces.extend(fold(c).map(Piece::One)),
        }
    }
    pieces
}

/// What is between brackets, and how long it is with the closing one.
fn set(rest: &[char]) -> Option<(Piece, usize)> {
    let negated = rest.first() == Some(&'^');
    let start = usize::from(negated);
    // A closing bracket in the first place is a member.
    let end = rest.iter().skip(start + 1).position(|c| *c == ']')? + start + 1;
    let members = &rest[start..end];
    let low = |c: char| fold(c).next().unwrap_or(c);
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(&from) = members.get(at) {
        match (members.get(at + 1), members.get(at + 2)) {
            (Some('-'), Some(&to)) => {
                ranges.push((low(from), low(to)));
                at += 3;
            }
            _ => {
                ranges.push((low(from), low(from)));
                at += 1;
            }
        }
    }
    Some((Piece::Set { negated, ranges }, end + 1))
}
