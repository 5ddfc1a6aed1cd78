//! What is moved next, and by whom: parts whose table may be filled now, the largest table first.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::order::Group;
use super::parts::Part;

/// How many bytes of small parts share a transaction.
const BYTES: u64 = 32 * 1024 * 1024;
/// How many parts share one.
const PARTS: usize = 64;

/// The parts of one transaction.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// In the order in which they are moved, each with the number of its group.
    pub parts: Vec<(usize, Part)>,
    /// Whether constraints are to wait for the commit: its rows refer to one another.
    pub deferred: bool,
}

/// Parts that wait, handed out to several threads.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    workers: u64,
}

struct State {
    groups: Vec<Waiting>,
    ready: BTreeSet<(u64, usize)>,
    /// Groups that are not in yet.
    open: usize,
    stopped: bool,
}

struct Waiting {
    /// From the smallest to the largest, unless the group is whole.
    parts: Vec<Part>,
    bytes: u64,
    whole: bool,
    /// Parts that are not committed.
    left: usize,
    /// How many groups it waits for.
    before: usize,
    /// Which groups wait for it.
    behind: Vec<usize>,
}

impl Queue {
    /// `parts` are those of each group, in the groups' order.
    pub fn new(groups: &[Group], parts: Vec<Vec<Part>>, workers: usize) -> Queue {
        let mut waiting: Vec<Waiting> = groups
            .iter()
            .zip(parts)
            .map(|(group, mut parts)| {
                if !group.whole {
                    parts.sort_by_key(|part| part.bytes);
                }
                Waiting {
                    bytes: parts.iter().map(|part| part.bytes).sum(),
                    whole: group.whole,
                    left: parts.len(),
                    before: group.after.len(),
                    behind: Vec::new(),
                    parts,
                }
            })
            .collect();
        for (number, group) in groups.iter().enumerate() {
            for before in &group.after {
                waiting[*before].behind.push(number);
            }
        }
        let open = waiting.len();
        let mut state = State { groups: waiting, ready: BTreeSet::new(), open, stopped: false };
        // Listed first: a group with nothing to do admits others while the list is walked.
        let free: Vec<usize> = (0..open).filter(|number| state.groups[*number].before == 0).collect();
        free.into_iter().for_each(|number| state.admit(number));
        Queue { state: Mutex::new(state), changed: Condvar::new(), workers: workers.max(1) as u64 }
    }

    /// Waits for something to do; `None` when everything is in, or the others were told to stop.
    pub fn next(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.open == 0 {
                return None;
            }
            if let Some(batch) = state.take(self.workers) {
                return Some(batch);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The parts of a batch are committed.
    pub fn done(&self, batch: &Batch) {
        let mut state = self.lock();
        for (group, _) in &batch.parts {
            state.groups[*group].left -= 1;
            if state.groups[*group].left == 0 {
                state.close(*group);
            }
        }
        self.changed.notify_all();
    }

    /// Nothing more is to be handed out.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&mut self, number: usize) {
        if self.groups[number].left == 0 {
            self.close(number);
        } else {
            self.ready.insert((self.groups[number].bytes, number));
        }
    }

    fn close(&mut self, number: usize) {
        self.open -= 1;
        for behind in std::mem::take(&mut self.groups[number].behind) {
            self.groups[behind].before -= 1;
            if self.groups[behind].before == 0 {
                self.admit(behind);
            }
        }
    }

    fn take(&mut self, workers: u64) -> Option<Batch> {
        let there: u64 = self.ready.iter().map(|(bytes, _)| bytes).sum();
        // Not so much at once that the others stand idle at the end.
        let most = BYTES.min(there / (2 * workers));
        let (mut parts, mut bytes) = (Vec::new(), 0);
        while let Some((size, number)) = self.ready.pop_last() {
            let group = &mut self.groups[number];
            if group.whole {
                if parts.is_empty() {
                    let parts = std::mem::take(&mut group.parts).into_iter();
                    return Some(Batch { parts: parts.map(|part| (number, part)).collect(), deferred: true });
                }
                self.ready.insert((size, number));
                break;
            }
            while let Some(part) = group.parts.pop() {
                bytes += part.bytes;
                group.bytes -= part.bytes;
                parts.push((number, part));
                if bytes >= most || parts.len() >= PARTS {
                    break;
                }
            }
            if !group.parts.is_empty() {
                self.ready.insert((group.bytes, number));
            }
            if bytes >= most || parts.len() >= PARTS {
                break;
            }
        }
        (!parts.is_empty()).then_some(Batch { parts, deferred: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: usize, bytes: u64) -> Part {
        Part { number, blocks: None, bytes }
    }

    fn group(tables: Vec<usize>, whole: bool, after: Vec<usize>) -> Group {
        Group { tables, whole, after }
    }

    fn numbers(batch: &Batch) -> Vec<usize> {
        batch.parts.iter().map(|(_, part)| part.number).collect()
    }

    #[test]
    fn what_refers_waits_for_what_is_referred_to() {
        let groups = [group(vec![0], false, vec![]), group(vec![1], false, vec![0])];
        let queue = Queue::new(&groups, vec![vec![part(0, 5), part(1, 9)], vec![part(2, 99)]], 2);
        let (first, second) = (queue.next().unwrap(), queue.next().unwrap());
        assert_eq!((numbers(&first), numbers(&second)), (vec![1], vec![0]));
        queue.done(&second);
        queue.done(&first);
        let last = queue.next().unwrap();
        assert_eq!(numbers(&last), [2]);
        queue.done(&last);
        assert!(queue.next().is_none());
    }

    #[test]
    fn small_parts_share_a_transaction_and_a_circle_is_one() {
        let groups = [group(vec![0], false, vec![]), group(vec![1, 2], true, vec![])];
        let small = (0..100).map(|number| part(number, 1)).collect();
        let queue = Queue::new(&groups, vec![small, vec![part(100, 1), part(101, 1)]], 1);
        let first = queue.next().unwrap();
        assert_eq!(first.parts.len(), 51);
        queue.done(&first);
        let mut seen = first.parts.len();
        while let Some(batch) = queue.next() {
            assert!(!batch.deferred || numbers(&batch) == [100, 101]);
            seen += batch.parts.len();
            queue.done(&batch);
        }
        assert_eq!(seen, 102);
    }

    #[test]
    fn nothing_to_do_is_the_end_and_so_is_a_stop() {
        let groups = [group(vec![0], false, vec![]), group(vec![1], false, vec![0])];
        assert!(Queue::new(&groups, vec![vec![], vec![]], 2).next().is_none());
        let queue = Queue::new(&groups, vec![vec![part(0, 1)], vec![]], 2);
        queue.stop();
        assert!(queue.next().is_none());
    }
}
