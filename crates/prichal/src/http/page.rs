//! The paging of lists: `offset` and `limit` as numbers.

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::error::{Error, Result};

/// A stretch of a list. At most 1000 rows, 50 when nothing is said.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub offset: i64,
    pub limit: i64,
}

const LIMIT: i64 = 50;
const MOST: i64 = 1000;

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = Query::of(parts);
        let offset = query.number("offset")?.unwrap_or(0);
        if offset < 0 {
            return Err(Error::invalid(
                "offset",
                "The value of 'offset' must not be negative.",
            ));
        }
        Ok(Self {
            offset,
            limit: query.limit()?,
        })
    }
}

/// The parameters behind the `?`, decoded.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(parts: &Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// A parameter's value; the empty one counts as absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        (!value.is_empty()).then_some(value.as_str())
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>> {
        self.read(name, "a whole number", |text| text.parse().ok())
    }

    /// `limit`: at least 1, and no more than a page may have.
    pub fn limit(&self) -> Result<i64> {
        match self.number("limit")? {
            None => Ok(LIMIT),
            Some(limit) if limit < 1 => Err(Error::invalid(
                "limit",
                "The value of 'limit' must be at least 1.",
            )),
            Some(limit) => Ok(limit.min(MOST)),
        }
    }

    /// A parameter read by `read`; what it should have been is said when that fails.
    pub fn read<T>(
        &self,
        name: &str,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let shown: String = text.chars().take(64).collect();
        read(text).map(Some).ok_or_else(|| {
            Error::invalid(
                name,
                format!("The value '{shown}' of '{name}' is not {what}."),
            )
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Self::of(parts))
    }
}
