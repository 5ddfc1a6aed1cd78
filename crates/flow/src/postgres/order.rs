//! In which order tables are filled: what is referred to before what refers to it.

use std::collections::BTreeSet;

/// One table refers to another: `from` and `to` are numbers of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    pub from: usize,
    pub to: usize,
    /// The number of the foreign key; `None` for a lookup.
    pub key: Option<u32>,
    /// Whether the database can look at it as late as the commit.
    pub deferrable: bool,
}

/// Tables that are filled together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// In the order in which they are filled.
    pub tables: Vec<usize>,
    /// Whether all of it must be one transaction, because its rows refer to one another.
    pub whole: bool,
    /// Numbers of the groups that must be in before.
    pub after: Vec<usize>,
}

/// Orders `count` tables. Groups come in an order in which each has those it needs before it.
///
/// Fails with the tables of a circle that has no reference which could wait for the commit.
pub(super) fn order(count: usize, references: &[Reference]) -> Result<Vec<Group>, Vec<usize>> {
    let circles = circles(count, |from| {
        references.iter().filter(move |reference| reference.from == from).map(|reference| reference.to)
    });
    let mut group_of = vec![0; count];
    for (number, tables) in circles.iter().enumerate() {
        for table in tables {
            group_of[*table] = number;
        }
    }
    let mut groups = Vec::with_capacity(circles.len());
    for (number, tables) in circles.iter().enumerate() {
        let inside =
            |reference: &&Reference| group_of[reference.from] == number && group_of[reference.to] == number;
        let mut after: Vec<usize> = references
            .iter()
            .filter(|reference| group_of[reference.from] == number && group_of[reference.to] != number)
            .map(|reference| group_of[reference.to])
            .collect();
        after.sort_unstable();
        after.dedup();
        let whole = references.iter().any(|reference| inside(&reference));
        let tables = match tables.as_slice() {
            [table] => vec![*table],
            _ => in_circle(count, tables, references.iter().filter(inside))?,
        };
        groups.push(Group { tables, whole, after });
    }
    Ok(groups)
}

/// Orders the tables of a circle by the references that cannot wait.
fn in_circle<'a>(
    count: usize,
    tables: &[usize],
    references: impl Iterator<Item = &'a Reference>,
) -> Result<Vec<usize>, Vec<usize>> {
    let strict: Vec<&Reference> =
        references.filter(|reference| !reference.deferrable && reference.from != reference.to).collect();
    let parts = circles(count, |from| {
        strict.iter().filter(move |reference| reference.from == from).map(|reference| reference.to)
    });
    let mut order = Vec::with_capacity(tables.len());
    for part in parts {
        match part.as_slice() {
            [table] if tables.contains(table) => order.push(*table),
            [_] => {}
            _ => return Err(part),
        }
    }
    Ok(order)
}

/// Orders as [`order`], and lets every foreign key of a circle that cannot wait be away meanwhile: their numbers come with the
/// groups, and the references are as they are without them.
///
/// Fails with the tables of a circle of lookups.
pub(super) fn order_without(
    count: usize,
    references: &mut [Reference],
) -> Result<(Vec<Group>, BTreeSet<u32>), Vec<usize>> {
    let mut away = BTreeSet::new();
    loop {
        let circle = match order(count, references) {
            Ok(groups) => return Ok((groups, away)),
            Err(circle) => circle,
        };
        let strict =
            |one: &&mut Reference| !one.deferrable && circle.contains(&one.from) && circle.contains(&one.to);
        let before = away.len();
        for reference in references.iter_mut().filter(strict).filter(|one| one.from != one.to) {
            if let Some(key) = reference.key {
                reference.deferrable = true;
                away.insert(key);
            }
        }
        if away.len() == before {
            return Err(circle);
        }
    }
}

/// Finds the strongly connected components, those that are pointed to first (Tarjan 1972).
fn circles<I: Iterator<Item = usize>>(count: usize, next: impl Fn(usize) -> I) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let (mut index, mut low, mut on_stack) = (vec![NEW; count], vec![0; count], vec![false; count]);
    let (mut counter, mut stack, mut found) = (0, Vec::new(), Vec::new());
    for start in 0..count {
        if index[start] != NEW {
            continue;
        }
        // By hand and not by recursion: a chain of references may be as long as a schema is large.
        let mut open: Vec<(usize, std::vec::IntoIter<usize>)> = Vec::new();
        let mut enter = Some(start);
        loop {
            if let Some(node) = enter.take() {
                (index[node], low[node]) = (counter, counter);
                counter += 1;
                stack.push(node);
                on_stack[node] = true;
                open.push((node, next(node).collect::<Vec<_>>().into_iter()));
            }
            let Some((node, rest)) = open.last_mut() else { break };
            let node = *node;
            match rest.next() {
                Some(other) if index[other] == NEW => enter = Some(other),
                Some(other) => {
                    if on_stack[other] {
                        low[node] = low[node].min(index[other]);
                    }
                }
                None => {
                    open.pop();
                    if let Some((parent, _)) = open.last() {
                        low[*parent] = low[*parent].min(low[node]);
                    }
                    if low[node] == index[node] {
                        let at = stack.iter().rposition(|member| *member == node).unwrap_or(0);
                        let mut circle = stack.split_off(at);
                        circle.iter().for_each(|member| on_stack[*member] = false);
                        circle.sort_unstable();
                        found.push(circle);
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference(from: usize, to: usize, deferrable: bool) -> Reference {
        Reference { from, to, key: None, deferrable }
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let groups = order(3, &[reference(0, 1, false), reference(1, 2, false)]).unwrap();
        let tables: Vec<_> = groups.iter().map(|group| group.tables.clone()).collect();
        assert_eq!(tables, [vec![2], vec![1], vec![0]]);
        assert_eq!(
            groups.iter().map(|group| group.after.clone()).collect::<Vec<_>>(),
            [vec![], vec![0], vec![1]]
        );
        assert!(groups.iter().all(|group| !group.whole));
    }

    #[test]
    fn a_circle_is_one_transaction_and_its_strict_references_are_kept() {
        let groups =
            order(3, &[reference(0, 1, false), reference(1, 0, true), reference(2, 0, false)]).unwrap();
        assert_eq!(groups[0], Group { tables: vec![1, 0], whole: true, after: vec![] });
        assert_eq!(groups[1], Group { tables: vec![2], whole: false, after: vec![0] });
        assert_eq!(order(2, &[reference(0, 1, false), reference(1, 0, false)]), Err(vec![0, 1]));
    }

    #[test]
    fn a_circle_that_cannot_wait_names_the_foreign_keys_that_have_to_go() {
        let key = |from, to, key| Reference { key: Some(key), ..reference(from, to, false) };
        let mut all = [key(0, 1, 7), key(1, 0, 8), key(2, 0, 9), key(0, 0, 10)];
        let (groups, away) = order_without(3, &mut all).unwrap();
        assert_eq!(away, BTreeSet::from([7, 8]));
        assert_eq!((groups[0].tables.len(), groups[0].whole, &groups[1].tables), (2, true, &vec![2]));
        // A lookup cannot go; what it finds comes first.
        let (groups, away) = order_without(2, &mut [key(0, 1, 7), reference(1, 0, false)]).unwrap();
        assert_eq!((&groups[0].tables, away), (&vec![0, 1], BTreeSet::from([7])));
        assert_eq!(order_without(2, &mut [reference(0, 1, false), reference(1, 0, false)]), Err(vec![0, 1]));
    }

    #[test]
    fn a_table_that_refers_to_itself_is_one_transaction() {
        let groups = order(1, &[reference(0, 0, false)]).unwrap();
        assert_eq!(groups, [Group { tables: vec![0], whole: true, after: vec![] }]);
    }

    proptest! {
        #[test]
        fn every_table_comes_once_and_behind_what_it_needs(
            count in 1usize..12,
            pairs in prop::collection::vec((0usize..12, 0usize..12), 0..30),
        ) {
            let references: Vec<Reference> = pairs
                .into_iter()
                .filter(|(from, to)| *from < count && *to < count)
                .map(|(from, to)| reference(from, to, true))
                .collect();
            let groups = order(count, &references).unwrap();
            let mut seen: Vec<usize> = groups.iter().flat_map(|group| group.tables.clone()).collect();
            let place = |table: usize| groups.iter().position(|group| group.tables.contains(&table)).unwrap();
            for reference in &references {
                let (from, to) = (place(reference.from), place(reference.to));
                prop_assert!(to < from && groups[from].after.contains(&to) || to == from && groups[to].whole);
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }
    }
}
