//! Errors of the store, sorted by the caller's options.

use std::error::Error as StdError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many writes or reads wait. Try again.
    #[error("the store is busy")]
    Busy,
    /// The engine is out of reach, full or read-only. It may recover.
    #[error("the store is not available")]
    Unavailable(#[source] Source),
    /// The transaction conflicted with another. Run it again.
    #[error("the transaction conflicted with another")]
    Collided(#[source] Source),
    /// A text contains NUL, which the engine can neither store nor search for.
    #[error("the text contains a NUL character")]
    Nul,
    /// The database was written by a newer Prichal.
    #[error(
        "the database is at schema version {found}, newer than this Prichal, which knows {known}; run the newer Prichal, or restore a backup made before the upgrade"
    )]
    Newer { found: i64, known: i64 },
    /// A bug, or a damaged database.
    #[error("the store failed")]
    Failed(#[source] Source),
}

impl Error {
    /// Copies the error for another caller. The source is reduced to its text.
    pub(crate) fn again(&self) -> Self {
        let source = || {
            StdError::source(self)
                .map(ToString::to_string)
                .unwrap_or_default()
                .into()
        };
        match self {
            Self::Busy => Self::Busy,
            Self::Nul => Self::Nul,
            Self::Unavailable(_) => Self::Unavailable(source()),
            Self::Collided(_) => Self::Collided(source()),
            Self::Newer { found, known } => Self::Newer {
                found: *found,
                known: *known,
            },
            Self::Failed(_) => Self::Failed(source()),
        }
    }

    pub(crate) fn corrupt(source: impl Into<Source>) -> Self {
        Self::Failed(source.into())
    }

    pub(crate) fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable(source.into())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure,
        };
        match error.sqlite_error_code() {
            Some(
                CannotOpen | DatabaseBusy | DatabaseLocked | DiskFull | ReadOnly | SystemIoFailure,
            ) => Self::Unavailable(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        let Some(state) = error.code() else {
            // Without a SQLSTATE either the connection failed, or a value did not fit its type.
            let broken = error.is_closed()
                || error
                    .source()
                    .is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
            return if broken {
                Self::Unavailable(error.into())
            } else {
                Self::Failed(error.into())
            };
        };
        if *state == SqlState::T_R_SERIALIZATION_FAILURE
            || *state == SqlState::T_R_DEADLOCK_DETECTED
        {
            return Self::Collided(error.into());
        }
        if *state == SqlState::CHARACTER_NOT_IN_REPERTOIRE {
            return Self::Nul;
        }
        // 08: connection; 53: out of disk, memory or connections; 57: shutting down; 58: system error; 25006:
        // read-only.
        let code = state.code();
        if ["08", "53", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class))
            || code == "25006"
        {
            return Self::Unavailable(error.into());
        }
        Self::Failed(error.into())
    }
}
