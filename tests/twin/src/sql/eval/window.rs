//! Window functions: over the rows that a query has kept, before they are ordered.

use std::cmp::Ordering;

use super::super::error::Result;
use super::super::ir::{Scalar, Window, WindowKind};
use super::super::value::{Value, order, same};
use super::super::views::Row;
use super::{Evaluator, Frame, aggregate};

/// A row's place in its partition.
struct Placed {
    /// Its place among the frames.
    at: usize,
    partition: Row,
    keys: Row,
}

/// The frames with the results of all window functions.
pub(super) fn over(
    evaluator: &mut Evaluator<'_>,
    windows: &[Window],
    mut frames: Vec<Frame>,
) -> Result<Vec<Frame>> {
    for window in windows {
        let mut placed = Vec::new();
        for (at, frame) in frames.iter_mut().enumerate() {
            let taken = std::mem::replace(frame, Frame::of(Row::new()));
            evaluator.frames.push(taken);
            let values = keys(evaluator, window);
            if let Some(back) = evaluator.frames.pop() {
                *frame = back;
            }
            let (partition, keys) = values?;
            placed.push(Placed { at, partition, keys });
        }
        let by_place = |a: &Placed, b: &Placed| {
            compare(&a.partition, &b.partition, |_| false)
                .then_with(|| compare(&a.keys, &b.keys, |place| window.order[place].1))
        };
        placed.sort_by(by_place);
        let mut results = vec![Value::Null; frames.len()];
        for partition in placed.chunk_by(|a, b| equal(&a.partition, &b.partition)) {
            one_partition(evaluator, window, partition, &frames, &mut results)?;
        }
        for (frame, result) in frames.iter_mut().zip(results) {
            frame.windows.push(result);
        }
    }
    Ok(frames)
}

fn keys(evaluator: &mut Evaluator<'_>, window: &Window) -> Result<(Row, Row)> {
    let mut values = |list: &mut dyn Iterator<Item = &Scalar>| {
        list.map(|scalar| evaluator.scalar(scalar)).collect::<Result<Row>>()
    };
    let partition = values(&mut window.partition.iter())?;
    Ok((partition, values(&mut window.order.iter().map(|(key, _)| key))?))
}

fn one_partition(
    evaluator: &mut Evaluator<'_>,
    window: &Window,
    rows: &[Placed],
    frames: &[Frame],
    results: &mut [Value],
) -> Result<()> {
    let mut dense = 0_i64;
    for (rank, peers) in numbered(rows) {
        dense += 1;
        let first = usize::try_from(rank - 1).unwrap_or(0);
        let upto = if window.order.is_empty() { rows.len() } else { first + peers.len() };
        let mut shared = None;
        for (place, row) in peers.iter().enumerate() {
            let place = first + place;
            results[row.at] = match &window.kind {
                WindowKind::RowNumber => Value::Int(i64::try_from(place + 1).unwrap_or(i64::MAX)),
                WindowKind::Rank => Value::Int(rank),
                WindowKind::DenseRank => Value::Int(dense),
                WindowKind::Lag(scalar, places) => {
                    let wanted = i64::try_from(place).unwrap_or(i64::MAX).saturating_sub(*places);
                    let other = usize::try_from(wanted).ok().and_then(|at| rows.get(at));
                    match other {
                        Some(other) => evaluator.of_row(scalar, &frames[other.at].row)?,
                        None => Value::Null,
                    }
                }
                WindowKind::Aggregate(kind) => {
                    if shared.is_none() {
                        let seen: Vec<Row> =
                            rows[..upto].iter().map(|row| frames[row.at].row.clone()).collect();
                        let count = u64::try_from(seen.len()).unwrap_or(u64::MAX);
                        evaluator.env.spend(count)?;
                        shared = Some(aggregate::over(evaluator, kind, &seen)?);
                    }
                    shared.clone().unwrap_or(Value::Null)
                }
            };
        }
    }
    Ok(())
}

/// Rows with equal keys, and the number of the first of them.
fn numbered(rows: &[Placed]) -> impl Iterator<Item = (i64, &[Placed])> {
    let mut next = 1;
    rows.chunk_by(|a, b| equal(&a.keys, &b.keys)).map(move |peers| {
        let number = next;
        next += i64::try_from(peers.len()).unwrap_or(0);
        (number, peers)
    })
}

fn equal(a: &Row, b: &Row) -> bool {
    a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn compare(a: &Row, b: &Row, descends: impl Fn(usize) -> bool) -> Ordering {
    let compared = a.iter().zip(b).enumerate().map(|(place, (a, b))| {
        let found = order(a, b);
        if descends(place) { found.reverse() } else { found }
    });
    compared.into_iter().find(|found| found.is_ne()).unwrap_or(Ordering::Equal)
}
