//! The wording of errors under `/api/v3` and `/api/1`: one envelope for all, with the vendor's codes
//! (`docs/contracts/idocs.md §1.4, §8`).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use prichal_dialect::fault;
use serde::Serialize;
use serde_json::json;
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, schema::Type},
};

use super::language::{Language, Localized};
use crate::{
    error::{Code, Error, NoRoute, RateLimit, shortened},
    http::answer::{json_text, retry_after},
    platform::Platform,
};

/// A refusal or a failure.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationErrorVM)]
pub(super) struct OperationError {
    /// The kind of the error.
    #[serde(rename = "errorCode")]
    code: OperationErrorType,
    /// The reason, in Russian, Kazakh or English (`Accept-Language`).
    #[schema(examples("Поле documentMetadata обязательно."))]
    #[serde(rename = "errorDescription")]
    description: String,
    #[serde(rename = "errorDocumentationLink")]
    #[schema(schema_with = null)]
    documentation_link: (),
}

/// The kind of an error.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum OperationErrorType {
    UploadedFileSizeError,
    UploadedFileExtensionError,
    UploadedFileContentParsingError,
    Unknown,
    InternalServerError,
    ResourceNotFound,
    ValidationError,
    PermissionError,
    BillingError,
}

use OperationErrorType::{
    BillingError, InternalServerError, PermissionError, ResourceNotFound, Unknown,
    UploadedFileContentParsingError, UploadedFileExtensionError, UploadedFileSizeError,
    ValidationError,
};

/// The body of a refusal or a failure.
#[derive(Serialize, ToSchema)]
pub(super) struct DocumentErrors {
    #[schema(schema_with = null)]
    response: (),
    /// The errors: one for each fault of a request, at most 50, and a single one for anything else.
    errors: Vec<OperationError>,
}

fn null() -> Object {
    let null = ObjectBuilder::new().schema_type(Type::Null);
    null.description(Some("Always `null`.")).build()
}

/// The refusals under `/api/v3`.
pub(super) const REFUSALS: &[Code] = &[
    Code::FileExtension,
    Code::FileTooLarge,
    Code::FileUnreadable,
    Code::InvalidValue,
    Code::IssuerUnreachable,
    Code::KeyReused,
    Code::LinkExpired,
    Code::NotPaid,
    Code::NotPermitted,
    Code::QuotaExceeded,
];

pub(super) fn words(app: &Platform, error: &Error, language: Language) -> Response {
    let body = DocumentErrors {
        response: (),
        errors: described(error, language),
    };
    let status = status(error, app.config.edo_strict_codes);
    let mut answer = retry_after(error, json_text(status, json!(body).to_string()));
    if error.is(Code::IssuerUnreachable) {
        let wait = HeaderValue::from_static("60");
        answer.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    answer
}

/// The vendor's models of an error: one for each fault of a request, a single one for anything else.
pub(super) fn described(error: &Error, language: Language) -> Vec<OperationError> {
    let model = |description| OperationError {
        code: code(error),
        description,
        documentation_link: (),
    };
    messages(error, language).into_iter().map(model).collect()
}

pub(super) fn status(error: &Error, strict: bool) -> StatusCode {
    match error {
        Error::Unauthenticated => StatusCode::UNAUTHORIZED,
        Error::NotFound(_) | Error::NoRoute(_) => StatusCode::NOT_FOUND,
        Error::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Error::Throttled { .. } | Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Busy | Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Error::UnknownCoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::Late => StatusCode::REQUEST_TIMEOUT,
        Error::Forbidden(_) if strict => StatusCode::FORBIDDEN,
        Error::Refused(refusal) => match refusal.code {
            Code::IssuerUnreachable => StatusCode::SERVICE_UNAVAILABLE,
            Code::LinkExpired => StatusCode::GONE,
            Code::NotPermitted if strict => StatusCode::FORBIDDEN,
            Code::NotPaid if strict => StatusCode::PAYMENT_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        },
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The vendor's `errorCode`.
pub(super) fn code(error: &Error) -> OperationErrorType {
    match error {
        Error::Unauthenticated | Error::Forbidden(_) => PermissionError,
        Error::NotFound(_) | Error::NoRoute(_) => ResourceNotFound,
        Error::Refused(refusal) => match refusal.code {
            Code::LinkExpired => ResourceNotFound,
            Code::IssuerUnreachable => InternalServerError,
            Code::FileTooLarge => UploadedFileSizeError,
            Code::FileExtension => UploadedFileExtensionError,
            Code::FileUnreadable => UploadedFileContentParsingError,
            Code::NotPermitted => PermissionError,
            Code::NotPaid => BillingError,
            _ => ValidationError,
        },
        Error::Busy | Error::Unavailable(_) | Error::Internal(_) => InternalServerError,
        Error::WrongMethod { .. } | Error::Throttled { .. } | Error::TooMany { .. } => Unknown,
        _ => ValidationError,
    }
}

/// True for a fault of the server's, after which the same request may succeed.
pub(super) fn is_server_fault(error: &Error) -> bool {
    code(error) == InternalServerError
}

/// A sentence with what there is; empty if that is not known.
fn existing<T: AsRef<str>>(known: &[T], language: Language) -> String {
    if known.is_empty() {
        return String::new();
    }
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    EXISTING.text(language, &[&known.join(", ")])
}

fn messages(error: &Error, language: Language) -> Vec<String> {
    let say = |wording: &Localized, args: &[&str]| wording.text(language, args);
    let message = match error {
        Error::Unauthenticated => say(&UNAUTHENTICATED, &[]),
        Error::Throttled { after } => say(&TOO_MANY_FAILURES, &[&after.to_string()]),
        Error::Forbidden(_) => say(&NO_COMPANY, &[]),
        Error::NotFound(what) => say(&MISSING, &[&shortened(what)]),
        Error::NoRoute(NoRoute {
            above, part, known, ..
        }) => {
            let known = existing(known, language);
            if part.is_empty() {
                say(&NO_SUCH_END, &[above, &known])
            } else {
                say(&NO_ROUTE, &[part, above, &known])
            }
        }
        Error::WrongMethod { allowed } => say(&WRONG_METHOD, &[&existing(allowed, language)]),
        Error::TooMany { seconds, limit } => {
            let seconds = seconds.to_string();
            match limit {
                RateLimit::Requests { most, period } | RateLimit::TestMails { most, period } => {
                    let (most, period) = (most.to_string(), period.as_secs().to_string());
                    say(&TOO_MANY, &[&most, &period, &seconds])
                }
                RateLimit::WorkspaceRequests(most) => {
                    say(&TOO_MANY_OF_COMPANY, &[&most.to_string(), &seconds])
                }
                RateLimit::WrittenBytes(most) => say(&TOO_MUCH, &[&most.to_string(), &seconds]),
            }
        }
        Error::Busy => say(&BUSY, &[]),
        Error::Unavailable(_) => say(&UNAVAILABLE, &[]),
        Error::Internal(_) => say(&INTERNAL, &[]),
        Error::TooLarge { limit } => say(&TOO_LARGE, &[&limit.to_string()]),
        Error::Refused(refusal) => match refusal.code {
            Code::KeyReused => say(&KEY_REUSED, &[]),
            Code::IssuerUnreachable => say(&NO_ISSUER, &[&refusal.message]),
            Code::QuotaExceeded => {
                let names: Vec<&str> = refusal.constraints.keys().map(String::as_str).collect();
                let (used, allowed) = refusal.quota.as_deref().copied().unwrap_or_default();
                let (used, allowed) = (used.to_string(), allowed.to_string());
                say(&QUOTA_EXCEEDED, &[&names.join(", "), &used, &allowed])
            }
            _ => refusal.message.clone(),
        },
        Error::Invalid(faults) => {
            let texts = faults.iter().map(|fault| match fault.path.as_str() {
                // A body that is not JSON is refused before the language is known.
                "" => say(&BAD_BODY, &[&fault::text(fault)]),
                "Idempotency-Key" => say(&BAD_KEY, &[]),
                _ => fault::text(fault),
            });
            return texts.collect();
        }
        Error::UnknownCoding(name) => say(&UNKNOWN_CODING, &[name]),
        Error::Late => say(&LATE, &[]),
        Error::PatchRefused(_) => error.to_string(),
    };
    vec![message]
}

const TOO_MANY: Localized = Localized::new(
    "Слишком много запросов: токену разрешено {} за {} с, повторите через {} с.",
    "Сұраулар тым көп: токенге {} сұрауға {} с ішінде рұқсат етілген, {} с кейін қайталаңыз.",
    "Too many requests: a token may send {} in {} seconds, try again in {} seconds.",
);
const TOO_MANY_OF_COMPANY: Localized = Localized::new(
    "Слишком много запросов: компании разрешено {} в секунду, повторите через {} с.",
    "Сұраулар тым көп: компанияға секундына {} сұрауға рұқсат етілген, {} с кейін қайталаңыз.",
    "Too many requests: the company may send {} in a second, try again in {} seconds.",
);
const TOO_MUCH: Localized = Localized::new(
    "Компания записала слишком много: разрешено {} байт в минуту, повторите через {} с.",
    "Компания тым көп жазды: минутына {} байтқа рұқсат етілген, {} с кейін қайталаңыз.",
    "The company has written too much: {} bytes in a minute are allowed, try again in {} seconds.",
);
const QUOTA_EXCEEDED: Localized = Localized::new(
    "Квота компании исчерпана: {}, занято {} из {} байт.",
    "Компанияның квотасы таусылды: {}, {} / {} байт пайдаланылған.",
    "The quota of {} is used up: {} of {} bytes are used.",
);
const NO_ISSUER: Localized = Localized::new(
    "Сервер удостоверяющего центра недоступен, повторите запрос позже. {}",
    "Куәландырушы орталықтың сервері қолжетімсіз, сұрауды кейінірек қайталаңыз. {}",
    "The server of the certification authority cannot be reached, try again later. {}",
);
const UNAUTHENTICATED: Localized = Localized::new(
    "Требуется действующий токен в заголовке Authorization: Bearer.",
    "Authorization: Bearer тақырыбында жарамды токен қажет.",
    "A valid token is required in the Authorization: Bearer header.",
);
const TOO_MANY_FAILURES: Localized = Localized::new(
    "Слишком много неудачных попыток с этого адреса, повторите через {} с.",
    "Осы мекенжайдан сәтсіз әрекеттер тым көп, {} с кейін қайталаңыз.",
    "Too many failed attempts from this address, try again in {} seconds.",
);
const NO_COMPANY: Localized = Localized::new(
    "Токен не принадлежит компании с БИН.",
    "Токен БСН бар компанияға тиесілі емес.",
    "The token does not belong to a company with a BIN.",
);
const MISSING: Localized = Localized::new("Не найдено: {}.", "Табылмады: {}.", "Not found: {}.");
const NO_ROUTE: Localized = Localized::new(
    "В API нет {} в {}.{}",
    "API ішінде {} жоқ ({}).{}",
    "The API has no {} in {}.{}",
);
const NO_SUCH_END: Localized = Localized::new(
    "Сам по себе {} не метод API.{}",
    "{} өзі API әдісі емес.{}",
    "{} alone is not a method of the API.{}",
);
const EXISTING: Localized = Localized::new(" Есть: {}.", " Бар: {}.", " There are: {}.");
const WRONG_METHOD: Localized = Localized::new(
    "Этот HTTP-метод здесь не поддерживается.{}",
    "Бұл HTTP әдісі мұнда қолданылмайды.{}",
    "The HTTP method is not allowed here.{}",
);
const BUSY: Localized = Localized::new(
    "Сервер перегружен, повторите запрос позже.",
    "Сервер бос емес, сұрауды кейінірек қайталаңыз.",
    "The server is busy, try again later.",
);
const UNAVAILABLE: Localized = Localized::new(
    "Хранилище сервера недоступно, повторите запрос позже.",
    "Сервердің қоймасы қолжетімсіз, сұрауды кейінірек қайталаңыз.",
    "The server cannot reach its storage, try again later.",
);
const INTERNAL: Localized = Localized::new(
    "Внутренняя ошибка сервера.",
    "Сервердің ішкі қатесі.",
    "Internal server error.",
);
const UNKNOWN_CODING: Localized = Localized::new(
    "Кодировка {} в Content-Encoding неизвестна, известны gzip, deflate и br.",
    "Content-Encoding ішіндегі {} кодтауы белгісіз, белгілілері: gzip, deflate және br.",
    "The Content-Encoding {} is not known here: gzip, deflate and br are.",
);
const TOO_LARGE: Localized = Localized::new(
    "Тело запроса больше {} байт.",
    "Сұрау денесі {} байттан үлкен.",
    "The request body is larger than {} bytes.",
);
const LATE: Localized = Localized::new(
    "Тело запроса не пришло вовремя.",
    "Сұрау денесі уақытында келмеді.",
    "The request body did not come in time.",
);
const BAD_BODY: Localized = Localized::new(
    "Тело запроса не прочитано ({})",
    "Сұрау денесі оқылмады ({})",
    "{}",
);
const BAD_KEY: Localized = Localized::new(
    "Idempotency-Key должен содержать от 1 до 255 символов.",
    "Idempotency-Key ұзындығы 1 мен 255 таңба арасында болуы керек.",
    "The Idempotency-Key must be 1 to 255 characters.",
);
const KEY_REUSED: Localized = Localized::new(
    "Этот Idempotency-Key уже использован с другим телом запроса.",
    "Бұл Idempotency-Key басқа сұрау денесімен қолданылған.",
    "This Idempotency-Key was used with another request body.",
);
