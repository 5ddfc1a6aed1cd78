//! A service that a person starts and stops.

use super::error::ServiceError;
use super::spec::{Outcome, Service, State, Which};
use crate::tell::Tell;

/// A service that we know only by name.
#[derive(Debug, Clone)]
pub struct NoService {
    name: String,
}

impl NoService {
    pub(super) fn new(name: &str) -> NoService {
        NoService { name: name.to_owned() }
    }
}

impl Service for NoService {
    fn state(&self) -> Result<State, ServiceError> {
        Ok(State::Unknown(format!("`{}` is started and stopped by a person", self.name)))
    }

    fn start(&self, which: Which, _tell: &Tell) -> Result<Outcome, ServiceError> {
        Ok(Outcome::Person(format!("start the {which} version of `{}` now", self.name)))
    }

    fn stop(&self, _tell: &Tell) -> Result<Outcome, ServiceError> {
        let name = &self.name;
        Ok(Outcome::Person(format!(
            "stop `{name}` now, and whatever would start it again (a supervisor, a timer)"
        )))
    }
}
