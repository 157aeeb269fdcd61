//! The paging of lists: `offset` and `limit` as numbers.

use axum::{extract::FromRequestParts, http::request::Parts};
use prichal_core::{
    json::{WHOLE_NUMBERS, is_whole},
    schema::{Field, Limit, Type},
};

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A page of a list: at most 1000 rows, 50 by default.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub offset: i64,
    pub limit: i64,
}

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 1000;

const OFFSET: Field = Field::new("offset", Type::Int)
    .at_least(0)
    .doc("The number of items before the page.");
/// The parameter with the size of a page.
pub const LIMIT: Field = Field::new("limit", Type::Int)
    .at_least(1)
    .doc("The size of the page: 50 unless given, and at most 1000.");
/// The parameters of [`Page`].
pub const PAGE: &[Field] = &[OFFSET, LIMIT];

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = Query::of(parts);
        Ok(Self {
            offset: query.bounded(&OFFSET)?.unwrap_or(0),
            limit: query.limit()?,
        })
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

    /// The texts among the members of a body, which are read like parameters.
    pub fn of_members(members: &Map<String, Value>) -> Self {
        let texts = members
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Self(texts.collect())
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
        let is_long = self.text(name).is_some_and(is_whole);
        let what = if is_long {
            WHOLE_NUMBERS
        } else {
            "a whole number"
        };
        self.read(name, what, |text| text.parse().ok())
    }

    /// `limit`: at least 1, cut to the maximum of a page.
    pub fn limit(&self) -> Result<i64> {
        let limit = self.bounded(&LIMIT)?.unwrap_or(DEFAULT_LIMIT);
        Ok(limit.min(MAX_LIMIT))
    }

    /// A whole number within the bound of its field.
    fn bounded(&self, field: &Field) -> Result<Option<i64>> {
        let number = self.number(field.name)?;
        if let (Some(number), Some(Limit::Numbers(min, _))) =
            (number, field.bound.map(|bound| bound.limit))
            && number < min
        {
            let name = field.name;
            let why = format!("The value of '{name}' must be at least {min}, not {number}.");
            return Err(Error::invalid(name, why));
        }
        Ok(number)
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
