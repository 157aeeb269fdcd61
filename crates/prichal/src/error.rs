//! The one error of the server, with variants for the possible reactions of a caller. It contains no status code:
//! each dialect words it in its own way ([`crate::dialect`]).

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use prichal_core::{patch::PatchErrors, schema::Fault};
use serde_json::{Map, Value};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Credentials are missing or not valid.
    #[error("A valid credential is required")]
    Unauthenticated,
    /// Too many wrong credentials came from the same address.
    #[error("Too many failed attempts from this address, try again in {after} seconds")]
    Throttled {
        /// The time to wait in seconds.
        after: u64,
    },
    #[error("{0}")]
    Forbidden(&'static str),
    /// `Contact <id>` and the like, to which the text adds «not found».
    #[error("{} not found", shortened(.0))]
    NotFound(String),
    /// A refusal by a business rule.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// Operations of a patch that cannot be applied.
    #[error("Patch contains invalid operations")]
    PatchRefused(PatchErrors),
    /// The request is malformed or has members of a wrong type.
    #[error("One or more validation errors occurred.")]
    Invalid(Vec<Fault>),
    #[error("The request body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    /// A body stopped coming, or comes too slowly.
    #[error("The request body did not come in time")]
    Late,
    /// A body in an unknown content coding.
    #[error("The Content-Encoding {0} is not known here: gzip, deflate and br are")]
    UnknownCoding(String),
    #[error("{0}")]
    NoRoute(NoRoute),
    /// A method that a path does not have, and those that it has.
    #[error("{}", wrong_method(allowed))]
    WrongMethod { allowed: Vec<&'static str> },
    /// The caller has reached a rate.
    #[error("{limit} are allowed, try again in {seconds} seconds")]
    TooMany { seconds: i64, limit: RateLimit },
    /// Too much work is waiting already.
    #[error("The server is busy, try again")]
    Busy,
    /// A service that the server needs cannot be reached.
    #[error("The server cannot reach its storage, try again")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    #[error("Internal error")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

/// A path that does not exist, and those beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoRoute {
    /// The existing path above, as its template.
    pub above: String,
    /// The first part that does not exist below it. Empty if the path ends above.
    pub part: String,
    /// The parts that exist there.
    pub known: Vec<String>,
    /// The template of the path that differs from this one by slashes or by the case of letters only.
    pub meant: Option<String>,
}

impl NoRoute {
    /// The maximum number of characters of a part that an error repeats. A longer one may be a token.
    const MAX_PART: usize = 40;

    pub fn new(above: impl Into<String>, part: &str, known: Vec<String>) -> Self {
        let part = if part.len() > Self::MAX_PART {
            "…"
        } else {
            part
        };
        Self {
            above: above.into(),
            part: part.to_owned(),
            known,
            meant: None,
        }
    }

    /// The refusal of a path that is spelled otherwise.
    pub fn misspelled(meant: String) -> Self {
        Self {
            meant: Some(meant),
            ..Self::default()
        }
    }
}

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            above,
            part,
            known,
            meant,
        } = self;
        if let Some(meant) = meant {
            write!(
                f,
                "The path is written `{meant}`, in this case and with these slashes"
            )
        } else if part.is_empty() {
            write!(
                f,
                "`{above}` alone is not a path of the API{}",
                listed(known)
            )
        } else {
            write!(f, "There is no `{part}` in `{above}`{}", listed(known))
        }
    }
}

/// The maximum number of characters of a name that an error repeats.
const MAX_NAME: usize = 200;

/// A name that a client chose, cut to [`MAX_NAME`] characters.
pub fn shortened(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => Cow::Borrowed(name),
    }
}

fn wrong_method(allowed: &[&str]) -> String {
    if allowed.is_empty() {
        "The method is not allowed here".to_owned()
    } else {
        format!(
            "The method is not allowed; the path has {}",
            allowed.join(", ")
        )
    }
}

/// A colon and what there is; nothing if that is not known.
pub fn listed<T: AsRef<str>>(known: &[T]) -> String {
    let mut text = String::new();
    for (n, one) in known.iter().enumerate() {
        text.push_str(if n == 0 { ": " } else { ", " });
        text.push_str(one.as_ref());
    }
    text
}

/// The rate that a caller has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// Requests of a token.
    Requests { most: u32, period: Duration },
    /// Requests of a workspace in a second.
    WorkspaceRequests(i64),
    /// Bytes that a workspace writes in a minute.
    WrittenBytes(u64),
    /// Test mails of a workspace.
    TestMails { most: u32, period: Duration },
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests { most, period } => {
                write!(
                    f,
                    "{most} requests of a token in {} seconds",
                    period.as_secs()
                )
            }
            Self::WorkspaceRequests(most) => {
                write!(f, "{most} requests of a workspace in a second")
            }
            Self::WrittenBytes(most) => {
                write!(f, "{most} written bytes of a workspace in a minute")
            }
            Self::TestMails { most, period } => {
                let seconds = period.as_secs();
                write!(f, "{most} test mails of a workspace in {seconds} seconds")
            }
        }
    }
}

/// The kind of a refusal. Each dialect words it in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request does not fit the present state.
    Conflict,
    /// A value that must be unique exists already.
    AlreadyExists,
    /// A number has reached its limit.
    LimitReached,
    /// A workspace's quota is used up.
    QuotaExceeded,
    /// An `Idempotency-Key` came with another body before.
    KeyReused,
    /// A value breaks a rule.
    InvalidValue,
    /// The caller lacks a permission.
    NotPermitted,
    /// The company has not paid for the function.
    NotPaid,
    IntegrationNotFound,
    NotInstalled,
    NotConfigured,
    /// An integration's own server has failed or refused.
    IntegrationFailed,
    /// An integration's own server has not answered yet.
    NotAnswered,
    NotSupported,
    CommunicationNotFound,
    /// Events that were asked for are older than those that are kept.
    EventsRemoved,
    FileTooLarge,
    FileExtension,
    FileUnreadable,
    LinkExpired,
    /// The server of a certificate's issuer cannot be reached.
    IssuerUnreachable,
    LookupFailed,
    TokenNotFound,
    MediaType,
    ScriptTimedOut,
    ScriptFailed,
    /// Another write came first; the same work may succeed when it is repeated.
    Overtaken,
    /// Another node has taken over the work.
    LeaseLost,
}

/// The meaning of an error in one line, and what the client can do. `docs/errors.md` is made of these.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    pub when: &'static str,
    pub remedy: &'static str,
}

const fn meaning(when: &'static str, remedy: &'static str) -> Meaning {
    Meaning { when, remedy }
}

const EVENTS_REMOVED: Meaning = meaning(
    "The events that were asked for are older than the time for which the workspace keeps events, and were removed.",
    "Read the entities anew, and go on from the offset that the message names, or from the beginning of the feed.",
);

impl Code {
    pub const ALL: &[Self] = &[
        Self::Conflict,
        Self::AlreadyExists,
        Self::LimitReached,
        Self::QuotaExceeded,
        Self::KeyReused,
        Self::InvalidValue,
        Self::NotPermitted,
        Self::NotPaid,
        Self::IntegrationNotFound,
        Self::NotInstalled,
        Self::NotConfigured,
        Self::IntegrationFailed,
        Self::NotAnswered,
        Self::NotSupported,
        Self::CommunicationNotFound,
        Self::EventsRemoved,
        Self::FileTooLarge,
        Self::FileExtension,
        Self::FileUnreadable,
        Self::LinkExpired,
        Self::IssuerUnreachable,
        Self::LookupFailed,
        Self::TokenNotFound,
        Self::MediaType,
        Self::ScriptTimedOut,
        Self::ScriptFailed,
        Self::Overtaken,
        Self::LeaseLost,
    ];

    pub const fn meaning(self) -> Meaning {
        match self {
            Self::Conflict => meaning(
                "The request does not fit the present state, or a value that must be unique exists already.",
                "Read the present state; the message says what is in the way.",
            ),
            Self::AlreadyExists => meaning(
                "A thing with this id or code exists already.",
                "Choose another one, or change the thing that exists.",
            ),
            Self::LimitReached => meaning(
                "A number has reached the limit that the message names.",
                "Delete what is not needed any more.",
            ),
            Self::QuotaExceeded => meaning(
                "The quota of the workspace that the message names is used up.",
                "Delete things, or ask the administrator for a larger quota.",
            ),
            Self::KeyReused => meaning(
                "The `Idempotency-Key` came with another body in the last 24 hours.",
                "Send a new key with each new body.",
            ),
            Self::InvalidValue => meaning(
                "A value breaks a rule of the workspace or of the document's state.",
                "Correct what the message names.",
            ),
            Self::NotPermitted => meaning(
                "The employee lacks the permission that the message names.",
                "Let an administrator grant it, or act as another employee.",
            ),
            Self::NotPaid => meaning(
                "Nobody pays for the document.",
                "Set `isSenderPayer`, or `isPayer` of a recipient.",
            ),
            Self::IntegrationNotFound => meaning(
                "The integration does not exist, or is private to another workspace.",
                "Take the id from `GET /api/v1/{ws}/integrations`.",
            ),
            Self::NotInstalled => meaning(
                "The integration is not installed in the workspace.",
                "Install it: `POST /api/v1/{ws}/integrations/{id}/install`.",
            ),
            Self::NotConfigured => meaning(
                "The integration has not been set up.",
                "Set it up: `POST /api/v1/{ws}/integrations/{id}/setup`.",
            ),
            Self::IntegrationFailed => meaning(
                "The integration's own server has refused, failed or not answered as expected.",
                "The message has its answer; correct it there.",
            ),
            Self::NotAnswered => meaning(
                "The integration's own server has not answered yet.",
                "Read the communication that the message names.",
            ),
            Self::NotSupported => meaning(
                "No installed integration has the feature that the message names.",
                "Install and set up an integration with that feature.",
            ),
            Self::CommunicationNotFound => meaning(
                "No call has this id in the workspace.",
                "Send the id of a call-started, or report the call with register-call.",
            ),
            Self::EventsRemoved => EVENTS_REMOVED,
            Self::FileTooLarge => meaning("The file exceeds the limit.", "Send a smaller file."),
            Self::FileExtension => meaning(
                "The file's extension is not among those that the message lists.",
                "Send a file of one of these kinds.",
            ),
            Self::FileUnreadable => meaning(
                "The content is not what the file's extension says.",
                "Send the file with its right extension, and undamaged.",
            ),
            Self::LinkExpired => meaning("The time of the link is over.", "Ask for a new link."),
            Self::IssuerUnreachable => meaning(
                "The server of the certificate's issuer cannot be reached.",
                "Repeat the request after `Retry-After`.",
            ),
            Self::LookupFailed => meaning(
                "No entity has the key as its id, code or token.",
                "Check the key; entities of other workspaces are not found.",
            ),
            Self::TokenNotFound => meaning(
                "No channel has this token.",
                "Read the channel's `token_local`.",
            ),
            Self::MediaType => meaning(
                "The `Content-Type` is neither JSON, text nor a form.",
                "Send `application/json`.",
            ),
            Self::ScriptTimedOut => meaning(
                "The script of a synchronous call did not end in time.",
                "The run's record says where it stopped; raise `recv_timeout`, or make the script faster.",
            ),
            Self::ScriptFailed => meaning(
                "The script of a synchronous call has failed.",
                "The run's record has the exception.",
            ),
            Self::Overtaken => meaning("Another write came first.", "The server repeats the work."),
            Self::LeaseLost => meaning("Another node has the work.", "The other node does it."),
        }
    }
}

/// A refusal by a business rule.
#[derive(Debug)]
pub struct Refusal {
    pub code: Code,
    pub message: String,
    /// Details by the name of the violated constraint.
    pub constraints: Map<String, Value>,
    /// The used and the allowed bytes of an exceeded quota. Boxed, because every error has room for it.
    pub quota: Option<Box<(i64, i64)>>,
    /// True if the answer has the lists of faults even when they are empty, as the vendor's has for some refusals.
    pub with_lists: bool,
}

impl Error {
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::Refused(Refusal {
            code,
            message: message.into(),
            constraints: Map::new(),
            quota: None,
            with_lists: false,
        })
    }

    /// A refusal that names the violated constraint, with a detail.
    pub fn violated(
        code: Code,
        message: impl Into<String>,
        constraint: &str,
        detail: impl Into<String>,
    ) -> Self {
        let constraints = Map::from_iter([(constraint.to_owned(), Value::String(detail.into()))]);
        Self::Refused(Refusal {
            code,
            message: message.into(),
            constraints,
            quota: None,
            with_lists: true,
        })
    }

    /// True for a refusal of this kind.
    pub fn is(&self, code: Code) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == code)
    }

    /// A single fault of the request.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault::rule(path, message)])
    }

    /// One error of each kind but [`Self::Refused`], with values that do not matter.
    pub fn samples() -> Vec<Self> {
        vec![
            Self::Unauthenticated,
            Self::Throttled { after: 1 },
            Self::Forbidden(""),
            Self::NotFound(String::new()),
            Self::PatchRefused(PatchErrors::default()),
            Self::Invalid(Vec::new()),
            Self::TooLarge { limit: 1 },
            Self::Late,
            Self::UnknownCoding(String::new()),
            Self::NoRoute(NoRoute::default()),
            Self::WrongMethod {
                allowed: Vec::new(),
            },
            Self::TooMany {
                seconds: 1,
                limit: RateLimit::WrittenBytes(1),
            },
            Self::Busy,
            Self::Unavailable("".into()),
            Self::Internal("".into()),
        ]
    }

    pub const fn meaning(&self) -> Meaning {
        match self {
            Self::Unauthenticated => meaning(
                "The credentials are missing, unknown, expired or revoked.",
                "Send a valid token or key; `WWW-Authenticate` names the scheme.",
            ),
            Self::Throttled { .. } => meaning(
                "Too many wrong credentials came from the address.",
                "Wait for `Retry-After`. A valid token is accepted meanwhile.",
            ),
            Self::Forbidden(_) => meaning(
                "The caller is known and lacks the right.",
                "Use the credentials that the message asks for.",
            ),
            Self::NotFound(_) => meaning(
                "The thing that the message names does not exist, or was deleted.",
                "Check its id, and the workspace.",
            ),
            Self::Refused(refusal) => refusal.code.meaning(),
            Self::PatchRefused(_) => meaning(
                "Operations of the patch cannot be applied. Nothing was changed.",
                "Correct each listed operation by its `reason`.",
            ),
            Self::Invalid(_) => meaning(
                "The request is malformed, or a value has a wrong type or exceeds a bound.",
                "Correct the fields and parameters that the error names.",
            ),
            Self::TooLarge { .. } => meaning(
                "The body is larger than the limit that the message names.",
                "Send less, or in several requests.",
            ),
            Self::Late => meaning(
                "The body stopped coming, or comes too slowly.",
                "Repeat the request.",
            ),
            Self::UnknownCoding(_) => meaning(
                "The `Content-Encoding` is unknown.",
                "Send the body in `gzip`, `deflate` or `br`, or as it is.",
            ),
            Self::NoRoute(_) => meaning(
                "The path does not exist. The message names the part that is wrong, and those there are.",
                "Correct the path.",
            ),
            Self::WrongMethod { .. } => meaning(
                "The path does not have the method.",
                "Use one of those in `Allow`.",
            ),
            Self::TooMany { .. } => meaning(
                "A rate is reached: requests of a token, or bytes that the workspace writes.",
                "Wait for `Retry-After`.",
            ),
            Self::Busy => meaning(
                "The server is busy, or the workspace holds its share of it.",
                "Repeat the request after `Retry-After`.",
            ),
            Self::Unavailable(_) => meaning(
                "The server cannot reach its storage.",
                "Repeat the request after `Retry-After`, with an `Idempotency-Key` if it creates.",
            ),
            Self::Internal(_) => meaning(
                "A fault of the server.",
                "Report it with the `X-Request-Id` of the answer; the log has the reason under this id.",
            ),
        }
    }

    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }
}

impl From<prichal_store::Error> for Error {
    fn from(error: prichal_store::Error) -> Self {
        match error {
            prichal_store::Error::Busy | prichal_store::Error::Collided(_) => Self::Busy,
            prichal_store::Error::Unavailable(_) => Self::Unavailable(error.into()),
            prichal_store::Error::Nul => Self::invalid("", "A text has a NUL character."),
            prichal_store::Error::Newer { .. } | prichal_store::Error::Failed(_) => {
                Self::Internal(error.into())
            }
        }
    }
}

impl From<Vec<Fault>> for Error {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Invalid(faults)
    }
}
