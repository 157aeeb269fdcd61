//! Why there is no form.

/// Why a print form could not be made. No content of a document is a reason.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrintError {
    /// [`check_url`](crate::PrintForm::check_url) does not fit into a code that a telephone reads
    /// from paper.
    #[error("the address of the check page has {0} bytes, at most {max} fit", max = crate::MAX_ADDRESS)]
    Address(usize),
    /// The crate's own font is broken: a bug.
    #[error("the font: {0}")]
    Font(String),
}
