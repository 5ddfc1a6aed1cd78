//! jq programs in a limited child of our own binary.
//!
//! A program can recurse or eat memory without end, and then the process dies (`def f: 1+f; f`). So what a playbook
//! brings runs in a child whose death is an error message.
//!
//! Streams of records go through several such children at once, in batches, and come out in their order.

mod child;
mod frame;
mod index;
mod indexes;
mod parent;
mod serve_stream;
mod stream;
mod worker;

pub use child::{Limits, answer, serve};
pub use frame::{Given, Part, Refusal, Tally};
pub use index::{IndexError, IndexWriter};
pub use indexes::MakeIndexError;
pub use parent::{JqChild, JqChildError};
pub use stream::{Question, Sink, StreamError};
