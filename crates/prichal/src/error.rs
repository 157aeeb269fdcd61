//! The one error of the server, with variants for the possible reactions of a caller. It contains no status code:
//! each dialect words it in its own way ([`crate::dialect`]).

use std::error::Error as StdError;

use prichal_core::{patch::PatchErrors, schema::Fault};
use serde_json::{Map, Value};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Credentials are missing or not valid.
    #[error("Unauthorized")]
    Unauthenticated,
    /// Too many wrong credentials came from the same address.
    #[error("Too many failed attempts, try again later")]
    Throttled {
        /// The time to wait in seconds.
        after: u64,
    },
    #[error("{0}")]
    Forbidden(&'static str),
    /// `Contact <id>` and the like, to which the text adds «not found».
    #[error("{0} not found")]
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
    #[error("No such route")]
    NoRoute,
    #[error("The method is not allowed here")]
    WrongMethod,
    /// The workspace has reached its write rate.
    #[error("The workspace has written too much, try again in {seconds} seconds")]
    TooMany { seconds: i64 },
    /// Too much work is waiting already.
    #[error("The server is busy, try again")]
    Busy,
    /// A service that the server needs cannot be reached.
    #[error("The server cannot reach its storage, try again")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    #[error("Internal error")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
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

/// A refusal by a business rule.
#[derive(Debug)]
pub struct Refusal {
    pub code: Code,
    pub message: String,
    /// Details by the name of the violated constraint.
    pub constraints: Map<String, Value>,
    /// True if the answer has the lists of faults even when they are empty, as the vendor's has for some refusals.
    pub with_lists: bool,
}

impl Error {
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::Refused(Refusal {
            code,
            message: message.into(),
            constraints: Map::new(),
            with_lists: false,
        })
    }

    /// The refusal of a duplicate value that must be unique.
    pub fn taken(
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
