//! The overlay: the site as earlier steps of a plan will leave it.

use serde_json::Value;
use std::collections::BTreeMap;
use switchback_site::Site;

/// What a preview sees: the site, and beside it what the steps before leave behind.
pub struct Overlay<'a> {
    /// The site as it is now.
    pub site: &'a Site,
    left: BTreeMap<(String, &'static str), Value>,
    unknown: BTreeMap<String, String>,
}

impl<'a> Overlay<'a> {
    /// Nothing is left behind yet.
    pub fn new(site: &'a Site) -> Overlay<'a> {
        Overlay { site, left: BTreeMap::new(), unknown: BTreeMap::new() }
    }

    /// Leaves an aspect of a target (its catalog, its content) for later steps.
    pub fn leave(&mut self, target: &str, aspect: &'static str, value: Value) {
        self.left.insert((target.to_owned(), aspect), value);
    }

    /// Returns what an earlier step left.
    pub fn left(&self, target: &str, aspect: &'static str) -> Option<&Value> {
        self.left.get(&(target.to_owned(), aspect))
    }

    /// Says that nobody can know how the target stands from here on, and why: a foreign program will have been at it.
    pub fn lose_sight(&mut self, target: &str, why: impl Into<String>) {
        self.unknown.entry(target.to_owned()).or_insert_with(|| why.into());
    }

    /// Returns why the target cannot be known here, if it cannot.
    pub fn unknown(&self, target: &str) -> Option<&str> {
        self.unknown.get(target).map(String::as_str)
    }
}
