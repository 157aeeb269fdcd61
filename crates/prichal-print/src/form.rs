//! The input of a print form. Strings may contain anything: unprintable characters are cleaned, long text is wrapped,
//! and text that exceeds a sheet ends with an ellipsis.

use crate::words::{Action, Group, Language, Status, StepState, Verdict};

/// The content of a print form. The bytes of the PDF depend on nothing else.
///
/// Times are Unix seconds (UTC), shown at [`utc_offset`](Self::utc_offset).
#[derive(Clone, Debug, Default)]
pub struct PrintForm<'a> {
    /// The language of the labels.
    pub language: Language,
    /// The offset of shown times in minutes east of Greenwich: 300 for Kazakhstan. An offset of more than a day
    /// counts as 0.
    pub utc_offset: i16,
    /// The time of the shown state. It is printed and is the PDF's creation date. Pass the time of the document's
    /// last change to get equal bytes for an equal state.
    pub made: i64,
    /// The address of the document's public check page, for the QR code and as text. At most
    /// [`MAX_ADDRESS`](crate::MAX_ADDRESS) bytes. Empty for a form without a code and without this section.
    pub check_url: &'a str,
    /// A sentence below the signatures for which the caller is responsible, such as one on legal equality with paper.
    /// Empty for none.
    pub notice: &'a str,
    /// The document itself.
    pub document: Document<'a>,
    /// The company that made the document.
    pub sender: Party<'a>,
    /// The other parties, in the order of the route.
    pub recipients: Vec<Party<'a>>,
    /// The steps of the route, in the order of display.
    pub route: Vec<Step<'a>>,
    /// The signatures, in the order of signing. Each gets a stamp.
    pub signatures: Vec<Signature<'a>>,
    /// The original files of the document.
    pub files: Vec<OriginalFile<'a>>,
}

/// The document's own data: `DocumentBaseVM` of the integration API.
#[derive(Clone, Copy, Debug, Default)]
pub struct Document<'a> {
    /// The document's id, a UUID.
    pub id: &'a str,
    /// The title.
    pub name: &'a str,
    /// The number given by the author.
    pub number: &'a str,
    /// The date given by the author.
    pub date: i64,
    /// The kind of document.
    pub group: Group,
    /// The status as seen by the viewer of the form.
    pub status: Status,
    /// The time at which the document was created in the system.
    pub created: i64,
}

/// A company or an individual that takes part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Party<'a> {
    /// The full name.
    pub name: &'a str,
    /// The BIN of a company, the IIN of an individual.
    pub bin: &'a str,
}

/// One row of the route.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step<'a> {
    /// The position in the route. Steps in parallel have the same position.
    pub order: u32,
    /// The name of the party or of the employee.
    pub participant: &'a str,
    /// A second line below the name, such as the BIN or the position. Empty for none.
    pub detail: &'a str,
    /// The requested action.
    pub action: Action,
    /// The progress of the step.
    pub state: StepState,
    /// The time at which the step was completed or refused.
    pub completed: Option<i64>,
    /// The reason for a refusal, or another remark. Empty for none.
    pub comment: &'a str,
}

/// A signature, as its validation report describes it. Empty strings and `None` are not shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signature<'a> {
    /// The name of the person, from the certificate.
    pub signer: &'a str,
    /// The person's IIN, from the certificate.
    pub iin: &'a str,
    /// The organisation, from the certificate.
    pub organisation: &'a str,
    /// The organisation's BIN, from the certificate.
    pub bin: &'a str,
    /// The person's role in the organisation: head, authorised signer, employee.
    pub role: &'a str,
    /// The certificate's serial number in hexadecimal.
    pub serial: &'a str,
    /// The issuer of the certificate.
    pub issuer: &'a str,
    /// The certificate's `notBefore`.
    pub valid_from: Option<i64>,
    /// The certificate's `notAfter`.
    pub valid_until: Option<i64>,
    /// The name of the signature algorithm.
    pub algorithm: &'a str,
    /// The signing time, as claimed by the signer or recorded by the system.
    pub signed: Option<i64>,
    /// The time of the time-stamp.
    pub time_stamped: Option<i64>,
    /// The result of the validation.
    pub verdict: Verdict,
    /// The sub-indication of EN 319 102-1, such as `REVOKED` or `TRY_LATER`. Empty for a passed signature.
    pub sub_indication: &'a str,
    /// True if the validation did not check the holder's identity.
    pub identity_unchecked: bool,
    /// True if the validation did not check the revocation of the certificate.
    pub revocation_unchecked: bool,
}

/// An original file of the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct OriginalFile<'a> {
    /// The file name with its extension.
    pub name: &'a str,
    /// The size in bytes.
    pub size: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: &'a str,
    /// The decoded text of a `.txt` original, printed after the cover. `None` for other files, which are only listed.
    pub text: Option<&'a str>,
}
