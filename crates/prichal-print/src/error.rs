//! Errors of making a print form.

/// The reason for which a print form could not be made. No content of a document causes an error.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrintError {
    /// [`check_url`](crate::PrintForm::check_url) is too long for a QR code that a phone can read from paper.
    #[error("the address of the check page has {0} bytes, but its QR code holds at most {max}", max = crate::MAX_ADDRESS)]
    Address(usize),
    /// The embedded font is broken, which is a bug.
    #[error("the embedded font is invalid: {0}")]
    Font(String),
}
