//! The step contract, the planner, the journal and the one loop.
