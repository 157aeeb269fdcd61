//! What a print form shows. All strings are taken as they are: the form cleans what cannot be
//! printed, wraps what is long and cuts, with an ellipsis, what no sheet could hold.

use crate::words::{Action, Group, Language, Status, StepState, Verdict};

/// Everything that a print form shows, and nothing else decides about its bytes.
///
/// Times are Unix seconds (UTC), shown at [`utc_offset`](Self::utc_offset).
#[derive(Clone, Debug, Default)]
pub struct PrintForm<'a> {
    /// The language of the labels.
    pub language: Language,
    /// Minutes east of Greenwich at which times are shown: 300 for Kazakhstan. Beyond a day it is
    /// taken as 0.
    pub utc_offset: i16,
    /// When the shown state was so. It is printed and it is the PDF's creation date, so pass the
    /// time of the document's last change when equal state must give equal bytes.
    pub made: i64,
    /// The address of the document's public check page, for the QR code and in words; at most
    /// [`MAX_ADDRESS`](crate::MAX_ADDRESS) bytes. When empty there is no code and no such section.
    pub check_url: &'a str,
    /// A sentence under the signatures that the caller vouches for, as the one about equality with
    /// paper; none when empty.
    pub notice: &'a str,
    /// The document itself.
    pub document: Document<'a>,
    /// The company that made the document.
    pub sender: Party<'a>,
    /// The other parties, in the order of the route.
    pub recipients: Vec<Party<'a>>,
    /// The steps of the route, in the order they are shown.
    pub route: Vec<Step<'a>>,
    /// One stamp for each, in the order they were made.
    pub signatures: Vec<Signature<'a>>,
    /// The originals of which the document consists.
    pub files: Vec<OriginalFile<'a>>,
}

/// The document's own data: `DocumentBaseVM` of the integration API.
#[derive(Clone, Copy, Debug, Default)]
pub struct Document<'a> {
    /// The identifier in the system, a UUID.
    pub id: &'a str,
    /// Its heading.
    pub name: &'a str,
    /// Its number, as its author gave it.
    pub number: &'a str,
    /// Its date, as its author gave it.
    pub date: i64,
    /// Its kind.
    pub group: Group,
    /// Its state, as the one who asks for the form sees it.
    pub status: Status,
    /// When the system got it.
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
    /// The place in the route; equal for steps that run side by side.
    pub order: u32,
    /// The name of the party or of the employee.
    pub participant: &'a str,
    /// A second line under the name: the BIN, the position; none when empty.
    pub detail: &'a str,
    /// What is asked for.
    pub action: Action,
    /// How far it is.
    pub state: StepState,
    /// When it was done or refused.
    pub completed: Option<i64>,
    /// Why it was refused, or another remark; none when empty.
    pub comment: &'a str,
}

/// One signature, as its validation report describes it. An empty string or `None` is not shown.
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
    /// What the person may do for the organisation: first head, signer, employee.
    pub role: &'a str,
    /// The certificate's serial number in hexadecimal.
    pub serial: &'a str,
    /// Who issued the certificate.
    pub issuer: &'a str,
    /// The certificate's `notBefore`.
    pub valid_from: Option<i64>,
    /// The certificate's `notAfter`.
    pub valid_until: Option<i64>,
    /// The name of the signature algorithm.
    pub algorithm: &'a str,
    /// When the signer says, or the system saw, that it was signed.
    pub signed: Option<i64>,
    /// The time of the time-stamp.
    pub time_stamped: Option<i64>,
    /// What the validation said.
    pub verdict: Verdict,
    /// Why, in the code of EN 319 102-1 (`REVOKED`, `TRY_LATER`); empty when passed.
    pub sub_indication: &'a str,
    /// The validation did not ask whose number the certificate has.
    pub identity_unchecked: bool,
    /// It did not ask whether the certificate was revoked.
    pub revocation_unchecked: bool,
}

/// An original file of the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct OriginalFile<'a> {
    /// The name with its extension.
    pub name: &'a str,
    /// The size in bytes.
    pub size: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: &'a str,
    /// The decoded text of a `.txt` original, printed after the cover; `None` for other files, which
    /// are only listed.
    pub text: Option<&'a str>,
}
