//! The parameters of the extractors that dialects share.

use super::schema::takes;
use crate::http::{
    idempotency::{IDEMPOTENCY_KEY, IdempotencyKey},
    page::{PAGE, Page},
};

takes! {
    Page: Query PAGE;
    IdempotencyKey: Header IDEMPOTENCY_KEY;
}
