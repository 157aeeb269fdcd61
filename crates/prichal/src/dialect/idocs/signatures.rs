//! Views of signatures: those of a document with their reports, the validation of any signature, and the public
//! page (`docs/contracts/idocs.md §1.10`).

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use bytes::Bytes;
use prichal_core::{
    document::{Document, Status},
    id::parse_any,
};
use prichal_sign::{Policy, Report};
use prichal_store::{
    Conn, document as store,
    signature::{self, Signature},
    workspace,
};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use utoipa::{
    ToSchema,
    openapi::{AllOfBuilder, ObjectBuilder, RefOr, Schema},
};
use uuid::Uuid;

use super::{
    answer::bare,
    caller::Company,
    documents::read_id,
    error_response::DocumentErrors,
    language::{Language, Localized},
    member::{Base64, Content, bodies, text},
    prepared::missing,
    read::Fields,
};
use crate::{
    app::App,
    dialect::openapi::schema::{of, one_of},
    domain::{
        document::check::{Brief, ExpectedSigner, Question, Rules, Unchecked, check, room},
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
    };
    let size = question.signature.len() + question.content.as_ref().map_or(0, Bytes::len);
    let size = i64::try_from(size).map_err(Error::internal)?;
    let kept = room(&company.app, company.id(), size).await;
    let checked = check(&company.app, &rules, question).await?;
    drop(kept);
    bare(&checked.report)
}

/// Show the signers of a document, as a page for people.
///
/// The page behind the QR code of a print form. Everybody who has the printed document may see it.
#[utoipa::path(get, path = "/check/{id}", tag = "documents", security(()),
    params(("id" = String, Path, description = "The id of the document")),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 404, description = "No such document was sent", body = String, content_type = "text/html"),
        (status = "default", description = "A failure", body = DocumentErrors, content_type = "application/json")))]
pub(super) async fn check_page(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let language = Language::of(&headers);
    let found = match parse_any(&id) {
        Some(id) => app.db.read(move |conn| find_public(conn, id)).await?,
        None => None,
    };
    let (status, page) = match found {
        Some(found) => (StatusCode::OK, page(&found, language)),
        None => (
            StatusCode::NOT_FOUND,
            frame(language, &NO_DOCUMENT.text(language, &[])),
        ),
    };
    let mut answer = (status, Html(page)).into_response();
    let headers = answer.headers_mut();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    Ok(answer)
}

/// The public view of a document.
struct PublicDocument {
    document: Document,
    /// The signatures, each with its company's name.
    signatures: Vec<(signature::Brief, Brief, String)>,
}

/// Finds a document that is not a draft.
fn find_public(conn: &mut Conn, id: Uuid) -> Result<Option<PublicDocument>> {
    let Some(document) = store::find_any(conn, id)? else {
        return Ok(None);
    };
    if document.status(document.sender.company) == Some(Status::Draft) {
        return Ok(None);
    }
    let mut signatures = Vec::new();
    for one in signature::list_briefs(conn, id)? {
        let brief = brief(conn, id, &one)?;
        let found = workspace::find(conn, &one.company.to_string())?;
        let name = found.and_then(|one| one.company_name.or(one.title));
        signatures.push((one, brief, name.unwrap_or_default()));
    }
    Ok(Some(PublicDocument {
        document,
        signatures,
    }))
}

/// The summary of a signature. An old row has none, so its report is summarized.
fn brief(conn: &mut Conn, document: Uuid, one: &signature::Brief) -> Result<Brief> {
    if let Some(kept) = &one.brief {
        return serde_json::from_str(kept).map_err(Error::internal);
    }
    let report = signature::find_report(conn, document, one.id)?;
    let report = report.and_then(|report| serde_json::from_str(&report).ok());
    Ok(Brief::of(&report.unwrap_or_default()))
}

fn page(found: &PublicDocument, language: Language) -> String {
    let say = |wording: &Localized| wording.text(language, &[]);
    let document = &found.document;
    let mut body = format!(
        "<dl><dt>{}</dt><dd>{}</dd><dt>{}</dt><dd>{}</dd><dt>{}</dt><dd>{}</dd></dl>",
        say(&NUMBER),
        escape(&document.number),
        say(&DATE),
        day(document.date),
        say(&STATUS),
        say(match document.status(document.sender.company) {
            Some(Status::Finished | Status::FinishedByCompany) => &FINISHED,
            _ if document.fate.is_some() => &ENDED,
            _ => &UNFINISHED,
        }),
    );
    if found.signatures.is_empty() {
        let _ = write!(body, "<p>{}</p>", say(&UNSIGNED));
    }
    for (one, brief, company) in &found.signatures {
        let (class, verdict) = match one.verdict.as_str() {
            "TOTAL_PASSED" => ("good", &VALID),
            "TOTAL_FAILED" => ("bad", &INVALID),
            _ => ("open", &UNDECIDED),
        };
        let _ = write!(
            body,
            "<section class={class}><h2>{}</h2>{}<p>{}</p><p>{} {}</p><p>{}</p></section>",
            say(verdict),
            unchecked(brief.unchecked, language),
            escape(&brief.signer),
            escape(company),
            escape(&one.bin),
            day(one.signed_on.secs()),
        );
    }
    frame(language, &body)
}

/// The checks that the verdict does not cover.
fn unchecked(unchecked: Unchecked, language: Language) -> String {
    let Unchecked {
        identity,
        revocation,
    } = unchecked;
    let mut html = String::new();
    for (_, words) in [(identity, &NO_IDENTITY), (revocation, &NO_REVOCATION)]
        .iter()
        .filter(|(missing, _)| *missing)
    {
        let _ = write!(html, "<p>{}</p>", words.text(language, &[]));
    }
    html
}

fn frame(language: Language, body: &str) -> String {
    const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#1a2433}\
        h1{font-size:1.3rem}h2{font-size:1rem;margin:0}p{margin:.2rem 0}dt{color:#5b6675}dd{margin:0 0 .6rem}\
        section{border-left:4px solid #8893a3;padding:.6rem 1rem;margin:1rem 0;background:#f5f7fa}\
        .good{border-color:#1c8a4a}.bad{border-color:#c0312b}";
    let title = TITLE.text(language, &[]);
    let tag = match language {
        Language::Ru => "ru",
        Language::Kk => "kk",
        Language::En => "en",
    };
    format!(
        "<!doctype html><html lang={tag}><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta name=robots content=noindex><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>"
    )
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

fn day(secs: i64) -> String {
    let at = prichal_core::time::Timestamp::from_micros(secs.saturating_mul(1_000_000));
    at.to_string()
        .split('T')
        .next()
        .unwrap_or_default()
        .to_owned()
}

const TITLE: Localized = Localized::new(
    "Проверка электронного документа",
    "Электрондық құжатты тексеру",
    "Check of an electronic document",
);
const NO_DOCUMENT: Localized = Localized::new(
    "<p>Такого документа здесь нет.</p>",
    "<p>Мұнда ондай құжат жоқ.</p>",
    "<p>There is no such document here.</p>",
);
const NUMBER: Localized = Localized::new("Номер", "Нөмірі", "Number");
const DATE: Localized = Localized::new("Дата", "Күні", "Date");
const STATUS: Localized = Localized::new("Состояние", "Жағдайы", "State");
const FINISHED: Localized = Localized::new("завершён", "аяқталды", "finished");
const ENDED: Localized = Localized::new(
    "отклонён или отозван, силы не имеет",
    "қабылданбады немесе кері қайтарылды, күші жоқ",
    "refused or taken back, without force",
);
const UNFINISHED: Localized =
    Localized::new("ещё не завершён", "әлі аяқталған жоқ", "not finished yet");
const UNSIGNED: Localized = Localized::new(
    "Документ ещё никем не подписан.",
    "Құжатқа әлі ешкім қол қойған жоқ.",
    "Nobody has signed the document yet.",
);
const VALID: Localized = Localized::new(
    "Подпись действительна",
    "Қолтаңба жарамды",
    "The signature is valid",
);
const INVALID: Localized = Localized::new(
    "Подпись недействительна",
    "Қолтаңба жарамсыз",
    "The signature is not valid",
);
const NO_IDENTITY: Localized = Localized::new(
    "Не проверено: принадлежит ли подпись этой компании и этому сотруднику (БИН, ИИН)",
    "Тексерілмеген: қолтаңба осы компания мен қызметкердікі ме (БСН, ЖСН)",
    "Not checked: whether the signature is this company's and this employee's (BIN, IIN)",
);
const NO_REVOCATION: Localized = Localized::new(
    "Не проверено: не отозван ли сертификат",
    "Тексерілмеген: сертификат кері қайтарылған ба",
    "Not checked: whether the certificate was revoked",
);
const UNDECIDED: Localized = Localized::new(
    "Действительность подписи ещё не установлена",
    "Қолтаңбаның жарамдылығы әлі анықталмаған",
    "The validity of the signature is not established yet",
);
const NO_POLICY: Localized = Localized::new(
    "Поле {}: политики {} нет, есть kz, ru, eu-baseline и test.",
    "{} өрісі: {} саясаты жоқ, бары kz, ru, eu-baseline және test.",
    "The field {}: there is no policy {}, there are kz, ru, eu-baseline and test.",
);
