//! Queries: sources, filters, groups, order, set operators.

use std::cmp::Ordering;

use super::super::convert::convert;
use super::super::error::{Error, Result};
use super::super::functions;
use super::super::ir::{
    Body, Call, Combine, JoinKind, OrderKey, Predicate, Query, Recursive, Rowset, Scalar, Select,
    Source, TableSource, Top,
};
use super::super::value::{Value, order, same};
use super::super::views::{self, Row};
use super::{Evaluator, Frame, aggregate, window};

/// A row of the result, and what it is ordered by beside that.
struct Line {
    items: Row,
    hidden: Row,
}

pub(super) fn rows(evaluator: &mut Evaluator<'_>, query: &Query) -> Result<Vec<Row>> {
    let (mut lines, top) = match &query.body {
        Body::Select(select) => (lines(evaluator, select)?, select.top.as_ref()),
        Body::Values(rows) => {
            let mut lines = Vec::new();
            for row in rows {
                lines.push(line(evaluator, row, &[])?);
            }
            (lines, None)
        }
        Body::Combine { operator, left, right } => {
            let rows = combine(evaluator, query, *operator, left, right)?;
            (rows.into_iter().map(|items| Line { items, hidden: Row::new() }).collect(), None)
        }
    };
    evaluator.env.spend(work(lines.len(), query.order.len() * 8))?;
    let by_keys = |a: &Line, b: &Line| compare_lines(&query.order, a, b);
    if !query.order.is_empty() {
        lines.sort_by(by_keys);
    }
    if let Some(top) = top {
        let keep = top_count(evaluator, top, lines.len())?;
        let mut end = keep;
        while top.with_ties
            && end > 0
            && end < lines.len()
            && by_keys(&lines[end - 1], &lines[end]).is_eq()
        {
            end += 1;
        }
        lines.truncate(end);
    }
    if let Some(offset) = &query.offset {
        let skip = count(evaluator, offset, 10742, "OFFSET")?;
        lines.drain(..skip.min(lines.len()));
    }
    if let Some(fetch) = &query.fetch {
        lines.truncate(count(evaluator, fetch, 10743, "FETCH")?);
    }
    Ok(lines.into_iter().map(|line| line.items).collect())
}

pub(super) fn matching(
    evaluator: &mut Evaluator<'_>,
    from: &Source,
    filter: Option<&Predicate>,
) -> Result<Vec<Row>> {
    let mut kept = Vec::new();
    for row in source(evaluator, from)? {
        let keep = match filter {
            None => true,
            Some(filter) => evaluator.within(Frame::of(row.clone()), |e| e.holds(filter))?,
        };
        if keep {
            kept.push(row);
        }
    }
    Ok(kept)
}

fn lines(evaluator: &mut Evaluator<'_>, select: &Select) -> Result<Vec<Line>> {
    let kept = matching(evaluator, &select.source, select.filter.as_ref())?;
    let frames = match &select.group {
        None => kept.into_iter().map(Frame::of).collect(),
        Some(group) => {
            let mut frames = Vec::new();
            for rows in grouped(evaluator, &group.keys, kept)? {
                let mut results = Vec::new();
                for aggregate in &group.aggregates {
                    results.push(aggregate::over(evaluator, aggregate, &rows)?);
                }
                // Keys have the same value in every row of the group.
                let row = rows.into_iter().next().unwrap_or_default();
                frames.push(Frame { row, aggregates: results, windows: Vec::new() });
            }
            frames
        }
    };
    let frames = having(evaluator, frames, select.having.as_ref())?;
    let frames = window::over(evaluator, &select.windows, frames)?;
    let mut lines: Vec<Line> = Vec::new();
    for frame in frames {
        let made = evaluator.within(frame, |e| line(e, &select.items, &select.hidden))?;
        if select.distinct {
            evaluator.env.spend(work(lines.len(), made.items.len()))?;
            if lines.iter().any(|line| same_rows(&line.items, &made.items)) {
                continue;
            }
        }
        lines.push(made);
    }
    Ok(lines)
}

/// The groups of which HAVING is true.
fn having(
    evaluator: &mut Evaluator<'_>,
    frames: Vec<Frame>,
    condition: Option<&Predicate>,
) -> Result<Vec<Frame>> {
    let Some(condition) = condition else { return Ok(frames) };
    let mut kept = Vec::new();
    for frame in frames {
        evaluator.frames.push(frame);
        let holds = evaluator.holds(condition);
        let frame = evaluator.frames.pop();
        if holds? {
            kept.extend(frame);
        }
    }
    Ok(kept)
}

fn line(evaluator: &mut Evaluator<'_>, items: &[Scalar], hidden: &[Scalar]) -> Result<Line> {
    let mut all = |list: &[Scalar]| {
        list.iter().map(|scalar| evaluator.scalar(scalar)).collect::<Result<Row>>()
    };
    Ok(Line { items: all(items)?, hidden: all(hidden)? })
}

/// Rows by key; one group without keys, even if it is empty.
fn grouped(
    evaluator: &mut Evaluator<'_>,
    keys: &[Scalar],
    rows: Vec<Row>,
) -> Result<Vec<Vec<Row>>> {
    if keys.is_empty() {
        return Ok(vec![rows]);
    }
    let mut groups: Vec<(Row, Vec<Row>)> = Vec::new();
    for row in rows {
        let key = evaluator.within(Frame::of(row.clone()), |e| {
            keys.iter().map(|key| e.scalar(key)).collect::<Result<Row>>()
        })?;
        evaluator.env.spend(work(groups.len(), keys.len()))?;
        match groups.iter_mut().find(|(known, _)| same_rows(known, &key)) {
            Some((_, members)) => members.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    Ok(groups.into_iter().map(|(_, members)| members).collect())
}

fn source(evaluator: &mut Evaluator<'_>, from: &Source) -> Result<Vec<Row>> {
    let rows = match from {
        Source::One => vec![Row::new()],
        Source::View(view, database) => views::rows(view, database, evaluator.env)?,
        Source::Table(from) => table_rows(evaluator, from)?,
        // A derived table sees no row beside it, but stands on a level of its own; see APPLY.
        Source::Derived(query) => evaluator.within(Frame::of(Row::new()), |e| e.rows(query))?,
        Source::Call(call) => evaluator.within(Frame::of(Row::new()), |e| called(e, call))?,
        Source::Recursive(common) => {
            evaluator.within(Frame::of(Row::new()), |e| rounds(e, common))?
        }
        Source::Working { id, .. } => working(evaluator, *id),
        Source::Join { kind, left, right, on } => {
            let on = on.as_deref();
            let lefts = source(evaluator, left)?;
            let empty = vec![Value::Null; right.width()];
            match kind {
                JoinKind::CrossApply | JoinKind::OuterApply => {
                    let mut joined = Vec::new();
                    for row in lefts {
                        let mut rights = applied(evaluator, &row, right)?;
                        if rights.is_empty() && *kind == JoinKind::OuterApply {
                            rights.push(empty.clone());
                        }
                        evaluator.env.spend(work(rights.len(), from.width()))?;
                        joined.extend(rights.into_iter().map(|other| [&row[..], &other].concat()));
                    }
                    joined
                }
                JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                    let keep_left = matches!(kind, JoinKind::Left | JoinKind::Full);
                    let keep_right = matches!(kind, JoinKind::Right | JoinKind::Full);
                    let rights = source(evaluator, right)?;
                    let mut used = vec![false; rights.len()];
                    let mut joined = Vec::new();
                    for row in &lefts {
                        let mut found = false;
                        for (other, used) in rights.iter().zip(&mut used) {
                            evaluator.env.spend(1)?;
                            let both = [&row[..], other].concat();
                            let meets = match on {
                                None => true,
                                Some(on) => {
                                    evaluator.within(Frame::of(both.clone()), |e| e.holds(on))?
                                }
                            };
                            if meets {
                                evaluator.env.spend(work(1, both.len()))?;
                                found = true;
                                *used = true;
                                joined.push(both);
                            }
                        }
                        if !found && keep_left {
                            joined.push([&row[..], &empty].concat());
                        }
                    }
                    if keep_right {
                        let nothing = vec![Value::Null; left.width()];
                        let rest = rights.iter().zip(&used).filter(|(_, used)| !**used);
                        joined.extend(rest.map(|(other, _)| [&nothing[..], other].concat()));
                    }
                    joined
                }
            }
        }
    };
    evaluator.env.spend(work(rows.len(), from.width()))?;
    Ok(rows)
}

/// A recursive expression: each row goes through the recursive part by itself, the newest first, as
/// the server's own stack has it.
fn rounds(evaluator: &mut Evaluator<'_>, recursive: &Recursive) -> Result<Vec<Row>> {
    let mut all = evaluator.rows(&recursive.anchor)?;
    let mut stack: Vec<(u32, Row)> = all.iter().map(|row| (0, row.clone())).collect();
    while let Some((round, row)) = stack.pop() {
        evaluator.working.push((recursive.id, row));
        let made = recursive.steps.iter().map(|step| evaluator.rows(step));
        let made = made.collect::<Result<Vec<_>>>();
        evaluator.working.pop();
        for row in made?.into_iter().flatten() {
            if recursive.most > 0 && round >= recursive.most {
                let most = recursive.most;
                let text = format!(
                    "The statement terminated. The maximum recursion {most} has been exhausted \
                     before statement completion."
                );
                return Err(Error::new(530, 16, text));
            }
            // Each round keeps all that was made before it.
            evaluator.env.spend(work(2, row.len()).saturating_add(weight(&row)))?;
            all.push(row.clone());
            stack.push((round + 1, row));
        }
    }
    Ok(all)
}

/// What a row takes beside its values, in steps: some hundred MB are the most for one statement.
fn weight(row: &Row) -> u64 {
    let bytes = row.iter().map(|value| match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    });
    u64::try_from(bytes.sum::<usize>() / 64).unwrap_or(u64::MAX)
}

/// The row that a recursive expression is at.
fn working(evaluator: &Evaluator<'_>, id: usize) -> Vec<Row> {
    let found = evaluator.working.iter().rev().find(|(known, _)| *known == id);
    found.map(|(_, row)| row.clone()).into_iter().collect()
}

/// The rows of a user table, with their numbers if they are asked for.
fn table_rows(evaluator: &mut Evaluator<'_>, from: &TableSource) -> Result<Vec<Row>> {
    let TableSource { table, numbered } = from;
    evaluator.env.spend(work(table.rows.len(), table.columns.len()))?;
    let whole = |(number, row): &(u64, Row)| {
        let mut row = row.clone();
        if *numbered {
            row.push(Value::Int(i64::try_from(*number).unwrap_or(i64::MAX)));
        }
        row
    };
    Ok(table.rows.iter().map(whole).collect())
}

/// The rows that a function gives.
fn called(evaluator: &mut Evaluator<'_>, call: &Call) -> Result<Vec<Row>> {
    let arguments = call.arguments.iter().map(|scalar| evaluator.scalar(scalar));
    let arguments = arguments.collect::<Result<Vec<_>>>()?;
    match &call.rowset {
        Rowset::Catalog(function) => views::called(function, evaluator.env, &arguments),
        Rowset::Split { ordinal } => functions::split(&arguments, *ordinal),
    }
}

/// The right side of APPLY, for one row of the left.
fn applied(evaluator: &mut Evaluator<'_>, row: &Row, right: &Source) -> Result<Vec<Row>> {
    match right {
        Source::Derived(query) => evaluator.within(Frame::of(row.clone()), |e| e.rows(query)),
        Source::Call(call) => evaluator.within(Frame::of(row.clone()), |e| called(e, call)),
        Source::One
        | Source::View(..)
        | Source::Table(_)
        | Source::Recursive(_)
        | Source::Working { .. }
        | Source::Join { .. } => source(evaluator, right),
    }
}

fn combine(
    evaluator: &mut Evaluator<'_>,
    query: &Query,
    operator: Combine,
    left: &Query,
    right: &Query,
) -> Result<Vec<Row>> {
    let mut side = |side: &Query| -> Result<Vec<Row>> {
        let mut rows = evaluator.rows(side)?;
        for row in &mut rows {
            for ((value, from), to) in row.iter_mut().zip(&side.columns).zip(&query.columns) {
                if from.ty != to.ty {
                    *value = convert(value, from.ty, to.ty, 0)?;
                }
            }
        }
        Ok(rows)
    };
    let (lefts, rights) = (side(left)?, side(right)?);
    evaluator.env.spend(work(lefts.len(), rights.len() + lefts.len()))?;
    let has = |rows: &[Row], row: &Row| rows.iter().any(|known| same_rows(known, row));
    let distinct = |rows: Vec<Row>| {
        let mut kept: Vec<Row> = Vec::new();
        for row in rows {
            if !has(&kept, &row) {
                kept.push(row);
            }
        }
        kept
    };
    Ok(match operator {
        Combine::UnionAll => lefts.into_iter().chain(rights).collect(),
        Combine::Union => distinct(lefts.into_iter().chain(rights).collect()),
        Combine::Intersect => distinct(lefts).into_iter().filter(|row| has(&rights, row)).collect(),
        Combine::Except => distinct(lefts).into_iter().filter(|row| !has(&rights, row)).collect(),
    })
}

fn compare_lines(keys: &[(OrderKey, bool)], a: &Line, b: &Line) -> Ordering {
    let compared = keys.iter().map(|(key, descending)| {
        let of = |line: &'_ Line| -> Value {
            let value = match key {
                OrderKey::Item(at) => line.items.get(*at),
                OrderKey::Hidden(at) => line.hidden.get(*at),
            };
            value.cloned().unwrap_or(Value::Null)
        };
        let ordering = order(&of(a), &of(b));
        if *descending { ordering.reverse() } else { ordering }
    });
    compared.into_iter().find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

fn top_count(evaluator: &mut Evaluator<'_>, top: &Top, rows: usize) -> Result<usize> {
    match evaluator.scalar(&top.count)? {
        Value::Int(n) => usize::try_from(n).map(|n| n.min(rows)).map_err(|_| {
            let text = "A TOP N or FETCH rowcount value may not be negative.";
            Error::new(1060, 15, text)
        }),
        Value::Float(percent) if top.percent && (0.0..=100.0).contains(&percent) => {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rows are few, and the share is between none and all"
            )]
            let share = (rows as f64 * percent / 100.0).ceil() as usize;
            Ok(share.min(rows))
        }
        Value::Float(_) => Err(Error::new(1031, 15, "Percent values must be between 0 and 100.")),
        _ => Err(Error::new(
            1060,
            15,
            "The number of rows provided for a TOP or FETCH clauses row count parameter must be an \
             integer.",
        )),
    }
}

fn count(
    evaluator: &mut Evaluator<'_>,
    scalar: &Scalar,
    number: i32,
    clause: &str,
) -> Result<usize> {
    match evaluator.scalar(scalar)? {
        Value::Int(n) if n >= 0 => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
        _ => {
            let text = format!("The offset specified in a {clause} clause may not be negative.");
            Err(Error::new(number, 15, text))
        }
    }
}

fn same_rows(a: &Row, b: &Row) -> bool {
    a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn work(a: usize, b: usize) -> u64 {
    u64::try_from(a.saturating_mul(b)).unwrap_or(u64::MAX)
}
