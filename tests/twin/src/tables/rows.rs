//! Rows in chunks that copies share.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sql::Row;

const CHUNK: usize = 64;

/// Rows by number; numbers ascend in the order in which the rows came, and are not used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    chunks: Vec<Arc<Vec<(u64, Row)>>>,
    next: u64,
    count: usize,
}

/// What becomes of a row.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Replace(Row),
    Remove,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u64, Row)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    pub(crate) fn push(&mut self, row: Row) {
        let row = (self.next, row);
        self.next += 1;
        self.count += 1;
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => Arc::make_mut(chunk).push(row),
            None => self.chunks.push(Arc::new(vec![row])),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.count = 0;
    }

    /// Changes rows by their numbers; chunks without any of them stay shared.
    pub(crate) fn change(&mut self, mut changes: BTreeMap<u64, Change>) {
        for chunk in &mut self.chunks {
            let (Some((first, _)), Some((last, _))) = (chunk.first(), chunk.last()) else {
                continue;
            };
            if changes.range(first..=last).next().is_none() {
                continue;
            }
            Arc::make_mut(chunk).retain_mut(|(number, row)| match changes.remove(number) {
                None => true,
                Some(Change::Replace(new)) => {
                    *row = new;
                    true
                }
                Some(Change::Remove) => false,
            });
        }
        self.chunks.retain(|chunk| !chunk.is_empty());
        self.count = self.chunks.iter().map(|chunk| chunk.len()).sum();
    }

    /// Every row anew, as a change of the table's columns makes it.
    pub(crate) fn rewrite(&mut self, mut make: impl FnMut(&Row) -> Row) {
        for chunk in &mut self.chunks {
            *chunk = Arc::new(chunk.iter().map(|(number, row)| (*number, make(row))).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Value;

    #[test]
    fn copies_share_what_has_not_changed() {
        let mut rows = Rows::default();
        (0..200).for_each(|n| rows.push(vec![Value::Int(n)]));
        let before = rows.clone();
        let removed = BTreeMap::from([
            (3, Change::Remove),
            (70, Change::Replace(vec![Value::Int(-1)])),
            (500, Change::Remove),
        ]);
        rows.change(removed);
        assert_eq!((rows.len(), before.len()), (199, 200));
        let values: Vec<_> = rows.iter().map(|(_, row)| row[0].clone()).collect();
        assert_eq!((&values[3], &values[69]), (&Value::Int(4), &Value::Int(-1)));
        assert!(Arc::ptr_eq(&rows.chunks[3], &before.chunks[3]));
        assert!(!Arc::ptr_eq(&rows.chunks[0], &before.chunks[0]));
        assert_eq!(before.iter().nth(70).map(|(_, row)| &row[0]), Some(&Value::Int(70)));
        rows.push(vec![Value::Int(7)]);
        assert_eq!(rows.iter().last().map(|(number, _)| *number), Some(200));
    }
}
