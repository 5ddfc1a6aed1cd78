//! Declarative ALTER: a wanted shape in, the cheapest safe way there out.
//!
//! [`plan`] asks no database but an empty one in memory; [`is_applied`] only compares; [`execute`] does everything in one
//! transaction and proves it before the commit.

pub use super::alter_apply::{AlterOutcome, execute};
pub use super::alter_catalog::{Catalog, Column, Index, IndexColumn, Table, Trigger, View};
pub use super::alter_error::AlterError;
pub use super::alter_expect::{Applied, is_applied};
pub use super::alter_plan::{Action as PlannedAction, AlterPlan, TablePlan, plan};
pub use super::alter_spec::{
    Action, AlterSpec, DefaultChange, ForeignKey, Generated, IndexChange, Literal, NewColumn, TableChange,
};
