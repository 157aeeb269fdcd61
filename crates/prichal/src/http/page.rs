//! The paging of lists: `offset` and `limit` as numbers.

use axum::{extract::FromRequestParts, http::request::Parts};
use prichal_core::schema::{Field, Preset, Type};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use crate::{
    dialect::openapi::schema::query,
    error::{Error, Result},
};

/// A page of a list: at most 1000 rows, 50 by default.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub offset: i64,
    pub limit: i64,
}

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 1000;

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = Query::of(parts);
        let offset = query.number("offset")?.unwrap_or(0);
        if offset < 0 {
            let why = format!("The value of 'offset' must be at least 0, not {offset}.");
            return Err(Error::invalid("offset", why));
        }
        Ok(Self {
            offset,
            limit: query.limit()?,
        })
    }
}

/// The parameters of a page.
const PAGE: &[Field] = &[
    Field::new("offset", Type::Int)
        .at_least(0)
        .or(Preset::Zero)
        .doc("The number of rows to leave out."),
    LIMIT,
];

/// The parameter that [`Query::limit`] reads.
pub const LIMIT: Field = Field::new("limit", Type::Int)
    .at_least(1)
    .doc("The maximum number of rows: 50 by default, cut to 1000.");

impl IntoParams for Page {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        query(PAGE)
    }
}

/// The parameters after the `?`, decoded.
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

    /// A parameter's value; an empty one counts as absent.
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

    /// `limit`: at least 1, cut to the maximum of a page.
    pub fn limit(&self) -> Result<i64> {
        match self.number("limit")? {
            None => Ok(DEFAULT_LIMIT),
            Some(limit) if limit < 1 => {
                let why = format!("The value of 'limit' must be at least 1, not {limit}.");
                Err(Error::invalid("limit", why))
            }
            Some(limit) => Ok(limit.min(MAX_LIMIT)),
        }
    }

    /// A parameter parsed by `read`. The error says what was expected.
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
