//! Secrets on their way to the one place that needs them.

use switchback_engine::StepError;
use switchback_model::secret::Sealed;
use switchback_site::secret;

/// Puts the secrets into a text. The result is never shown, and kept only where the program that reads it keeps it.
pub(crate) fn revealed(sealed: &Sealed) -> Result<String, StepError> {
    sealed.reveal(|one| secret::read(one).map(|one| one.reveal().to_owned())).map_err(|error| {
        StepError::failed(error.to_string()).help("set it where this command runs, and repeat the command")
    })
}
