//! The releases of the application that the stand-ins play.

/// One release by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    text: String,
    minor: u32,
}

impl Release {
    /// Returns the release of a version such as `v0.8.0`; what is not understood counts as the oldest.
    pub fn of(text: &str) -> Release {
        let minor = text.trim_start_matches('v').split('.').nth(1).and_then(|minor| minor.parse().ok());
        Release { text: text.to_owned(), minor: minor.unwrap_or(0) }
    }

    /// Returns it as the program says it, with its `v`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says whether it keeps its data in SQL: 0.8 and later.
    pub fn is_new(&self) -> bool {
        self.minor >= 8
    }

    /// Says whether its services can be told to want a token: 0.9 and later.
    pub(super) fn wants_tokens(&self) -> bool {
        self.minor >= 9
    }

    /// Returns the newest schema of a component's database that it knows (systems/agola.md §2.3).
    pub(super) fn schema(&self, component: super::Component) -> i64 {
        let later = i64::from(self.minor >= 9);
        match component {
            super::Component::Runservice => 1 + later,
            super::Component::Configstore => 2 + later,
            super::Component::Notification => 4 * later,
            _ => 0,
        }
    }
}
