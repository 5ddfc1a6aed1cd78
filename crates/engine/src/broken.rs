//! Ways to be wrong on purpose, for the proof that the crash suite notices (CONTRIBUTING.md).

/// A mistake that this engine could make. A debug build makes it where `SWITCHBACK_BROKEN` names it; a release build never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The effect comes before the line of the journal that announces it.
    EffectBeforeJournal,
    /// The way back leaves out the step that failed or was cut, and says that it was undone.
    UndoSkipsFailed,
    /// A step that reported success is not read back.
    TrustTheExitCode,
}

impl Broken {
    /// Returns whether this process is to make this mistake.
    pub(crate) fn is_asked_for(self) -> bool {
        cfg!(debug_assertions) && std::env::var("SWITCHBACK_BROKEN").is_ok_and(|asked| asked == self.name())
    }

    fn name(self) -> &'static str {
        match self {
            Broken::EffectBeforeJournal => "effect-before-journal",
            Broken::UndoSkipsFailed => "undo-skips-failed",
            Broken::TrustTheExitCode => "trust-the-exit-code",
        }
    }
}
