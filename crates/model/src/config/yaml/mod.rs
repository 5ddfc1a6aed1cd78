//! YAML files.

mod edit;
mod insert;
mod leaves;
mod meaning;
mod parse;
mod path;
mod place;
mod remove;
mod render;
mod replace;
mod splice;

pub(super) use edit::Yaml;
