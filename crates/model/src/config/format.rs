//! What an editor of one format can do.

use super::env::Env;
use super::error::EditError;
use super::value::Wanted;
use super::yaml::Yaml;
use crate::choice;
use serde_json::Value;
use std::ops::Range;

/// An editor of one format. Texts go in and come out whole; an edit that has nothing to do returns its text as it was.
pub trait Format {
    /// Says whether a key can be one in this format.
    fn check_key(&self, key: &str) -> Result<(), EditError>;
    /// Says whether a key can be taken away: a second look must be able to tell that it is gone.
    fn check_gone(&self, key: &str) -> Result<(), EditError> {
        self.check_key(key)
    }
    /// Reads all of it by the rules of the programs that will read it.
    fn check(&self, text: &str) -> Result<(), EditError>;
    /// Returns the value of a key: text for every scalar, null for one without a value, `None` when there is no such key.
    fn get(&self, text: &str, key: &str) -> Result<Option<Value>, EditError>;
    /// Gives a key a value; a key that is not there is added behind its neighbours.
    fn set(&self, text: &str, key: &str, value: &Wanted) -> Result<String, EditError>;
    /// Takes a key away with its value; one that is not there is none to take.
    fn delete(&self, text: &str, key: &str) -> Result<String, EditError>;
    /// Gives a key another name, or another place where keys nest; one that is not there has nothing to carry.
    fn rename(&self, text: &str, from: &str, to: &str) -> Result<String, EditError>;
    /// Whether two keys concern one another: they are equal, or one is inside the other.
    fn overlap(&self, one: &str, other: &str) -> bool;
    /// Returns where the values stand whose keys look secret.
    fn secrets(&self, text: &str) -> Vec<Range<usize>>;
    /// Returns every scalar value, in the order of the file. What stands there by an alias is returned where its anchor is.
    fn leaves(&self, text: &str) -> Result<Vec<Leaf>, EditError>;
    /// Returns the lines in which a value refers to a key, counted from one.
    fn references(&self, text: &str, key: &str) -> Vec<usize>;
}

/// A scalar value of a file, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its key, as an edit names it.
    pub key: String,
    /// The names on the way to it.
    pub names: Vec<String>,
    /// The value, as text; `~` where none is written.
    pub value: String,
}

choice! {
    /// A format of config files.
    pub enum ConfigFormat {
        /// Lines `NAME=value`, as compose, dotenv libraries and shells read them.
        Env = "env",
        /// YAML.
        Yaml = "yaml",
    }
}

impl ConfigFormat {
    /// Guesses from the name of a file; `None` where that is not clear.
    pub fn of_name(path: &str) -> Option<ConfigFormat> {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        if name.ends_with(".yaml") || name.ends_with(".yml") {
            return Some(ConfigFormat::Yaml);
        }
        (name == ".env" || name.starts_with(".env.") || name.ends_with(".env")).then_some(ConfigFormat::Env)
    }

    /// Returns the editor.
    pub fn editor(self) -> &'static dyn Format {
        match self {
            ConfigFormat::Env => &Env,
            ConfigFormat::Yaml => &Yaml,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_name_says_the_format() {
        for name in [".env", "/srv/app/.env", "backend/.env.production", "app.env"] {
            assert_eq!(ConfigFormat::of_name(name), Some(ConfigFormat::Env), "{name}");
        }
        for name in ["/etc/app/config.yml", "compose.YAML"] {
            assert_eq!(ConfigFormat::of_name(name), Some(ConfigFormat::Yaml), "{name}");
        }
        for name in ["/etc/app/config", "app.conf", "/home/x.env/settings"] {
            assert_eq!(ConfigFormat::of_name(name), None, "{name}");
        }
    }
}
