//! Views of signatures: those of a document with their reports, and the validation of any signature
//! (`docs/contracts/idocs.md §1.10`).

use bytes::Bytes;
use prichal_sign::{Policy, Report};
use prichal_store::{
    Conn, document as store,
    signature::{self, Signature},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{AllOfBuilder, ObjectBuilder, RefOr, Schema},
};
use uuid::Uuid;

use super::{
    answer::bare,
    caller::Company,
    documents::read_id,
    language::Localized,
    member::{Base64, Content, bodies, text},
    prepared::missing,
    read::Fields,
};
use crate::{
    dialect::openapi::schema::{of, one_of},
    domain::{
        document::check::{ExpectedSigner, Question, Rules, check, room},
        journal::held,
    },
    error::{Error, Result},
    http::{body::Json, extract::Path, idempotency::JsonAnswer},
};

/// List a document's signatures with the reports of their validation.
#[utoipa::path(get, path = "/api/v3/sync/single/document/signatures/{id}", tag = "documents",
    params(("id" = Uuid, Path, description = "The id of the document")),
    responses((status = 200, body = Vec<SignatureModel>)))]
pub(super) async fn list_signatures(
    company: Company,
    Path(id): Path<String>,
) -> Result<JsonAnswer> {
    company.may("DOCUMENT_VIEW").await?;
    let id = read_id(&company, &id)?;
    let asked = company.clone();
    let look = move |conn: &mut Conn| {
        if store::find(conn, asked.id(), id)?.is_none() {
            return Err(missing(&asked, id));
        }
        Ok::<_, Error>(signature::list(conn, id)?)
    };
    let found = company.app.db.read(look).await?;
    let found: Vec<SignatureModel> = found.iter().map(SignatureModel::of).collect();
    bare(&found)
}

/// A signature of a document.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentSignatureVM)]
struct SignatureModel<'a> {
    /// The time at which the signature was accepted, in seconds since 1970.
    signed_on: i64,
    /// The BIN of the company that has signed.
    #[schema(examples("971240001315"))]
    company_bin: &'a str,
    /// The employee who has signed.
    employee_id: Uuid,
    /// The IIN in the certificate.
    #[schema(required)]
    iin: Option<&'a str>,
    /// True if the signature contains the content.
    attached: bool,
    #[schema(schema_with = stored_report)]
    report: Value,
}

/// A report, with the reason if the signature is not checked again.
fn stored_report() -> Schema {
    let reason = text().description(Some(
        "The reason why the signature is not checked again; absent if it is.",
    ));
    AllOfBuilder::new()
        .description(Some("The latest report of its validation."))
        .item(of::<Report>())
        .item(ObjectBuilder::new().property(held::MEMBER, reason))
        .into()
}

impl<'a> SignatureModel<'a> {
    fn of(one: &'a Signature) -> Self {
        Self {
            signed_on: one.signed_on.secs(),
            company_bin: &one.bin,
            employee_id: one.employee.0,
            iin: one.iin.as_deref(),
            attached: one.attached,
            report: serde_json::from_str(&one.check.report).unwrap_or_default(),
        }
    }
}

bodies! {
    /// A signature to validate.
    struct VerificationRequest as VerifySignatureVM {
        /// The signature: DER or BER, as base64.
        signature: Base64 = "signature", "MIIBvAYJKoZIhvcNAQcC";
        /// The content, as base64, if the signature does not contain it.
        content: Option<Base64> = "content";
        /// The policy to validate by. By default it is the workspace's.
        policy: Option<PolicyName> = "policy", "kz";
    }
}

/// The name of a policy.
struct PolicyName(String);

impl Content for PolicyName {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        match fields.text(name)? {
            Some(text) if Policy::preset(text).is_none() => {
                Err(fields.fault(name, &NO_POLICY, &[text]))
            }
            policy => Ok(policy.map(|policy| Self(policy.to_owned()))),
        }
    }

    fn schema() -> RefOr<Schema> {
        one_of(&Policy::PRESETS).into()
    }
}

/// Validate a signature that belongs to no document here.
#[utoipa::path(post, path = "/api/v3/sync/signature/verify", tag = "documents",
    request_body = VerificationRequest, responses((status = 200, body = Report)))]
pub(super) async fn verify_signature(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    company.may("DOCUMENT_VIEW").await?;
    let request: VerificationRequest = company.read(&body)?;
    let workspace = company.id();
    let find = move |conn: &mut Conn| Rules::find(conn, workspace);
    let mut rules = company.app.db.read(find).await?;
    if let Some(PolicyName(policy)) = request.policy {
        rules.policy = policy;
    }
    let question = Question {
        signature: request.signature.0.into(),
        content: request.content.map(|content| Bytes::from(content.0)),
        content_sha256: None,
        signer: ExpectedSigner::default(),
        financial: false,
        received_at: company.now,
        public_work: None,
    };
    let size = question.signature.len() + question.content.as_ref().map_or(0, Bytes::len);
    let size = i64::try_from(size).map_err(Error::internal)?;
    let kept = room(&company.app, company.id(), size).await;
    let checked = check(&company.app, &rules, question).await?;
    drop(kept);
    bare(&checked.report)
}

const NO_POLICY: Localized = Localized::new(
    "Поле {}: политики {} нет, есть kz, ru, eu-baseline и test.",
    "{} өрісі: {} саясаты жоқ, бары kz, ru, eu-baseline және test.",
    "The field {}: there is no policy {}, there are kz, ru, eu-baseline and test.",
);
