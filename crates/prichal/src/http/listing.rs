//! Lists that are read and sent in pieces, so that the memory for one is bounded.

use axum::{body::Body, http::StatusCode, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use prichal_core::id::WorkspaceId;
use prichal_store::{Conn, tenant};

use super::answer::json_text;
use crate::{
    error::{Error, Result},
    http::page::Page,
    platform::Platform,
};

/// The rest of a list that is being sent.
struct Rest<R> {
    app: Platform,
    /// The workspace of the list.
    workspace: Option<WorkspaceId>,
    read: R,
    page: Page,
    /// The number of all items, as sent at the beginning.
    count: i64,
    is_ended: bool,
}

/// Answers `{"count", "items"}`. `read` returns the total number and the items from an offset on, up to a limit. It
/// may return fewer to bound their bytes, but none only at the end.
pub async fn list<R>(app: &Platform, page: Page, read: R) -> Result<Response>
where
    R: Fn(&mut Conn, i64, i64) -> Result<(i64, Vec<String>)> + Clone + Send + Sync + 'static,
{
    let mut rest = Rest {
        app: app.clone(),
        workspace: tenant::current(),
        read,
        page,
        count: i64::MAX,
        is_ended: false,
    };
    let items = rest.next().await?;
    let begun = format!("{{\"count\":{},\"items\":[{}", rest.count, items.join(","));
    if rest.is_ended {
        return Ok(json_text(StatusCode::OK, begun + "]}"));
    }
    let begun = stream::once(async { Ok(Bytes::from(begun)) });
    let pieces = stream::try_unfold(rest, |mut rest: Rest<R>| async move {
        if rest.is_ended {
            return Ok(None);
        }
        let mut text = String::new();
        for item in rest.next().await? {
            text.push(',');
            text.push_str(&item);
        }
        if rest.is_ended {
            text.push_str("]}");
        }
        Ok::<_, Error>(Some((Bytes::from(text), rest)))
    });
    Ok(json_text(
        StatusCode::OK,
        Body::from_stream(begun.chain(pieces)),
    ))
}

impl<R> Rest<R>
where
    R: Fn(&mut Conn, i64, i64) -> Result<(i64, Vec<String>)> + Clone + Send + Sync + 'static,
{
    async fn next(&mut self) -> Result<Vec<String>> {
        let (read, Page { offset, limit }) = (self.read.clone(), self.page);
        let look = move |conn: &mut Conn| read(conn, offset, limit);
        let look = self.app.db.read(look);
        let (count, items) = tenant::scope(self.workspace, look).await?;
        // The number is not changed once it was sent.
        self.count = self.count.min(count);
        let got = i64::try_from(items.len()).map_err(Error::internal)?;
        self.page.offset += got;
        self.page.limit -= got;
        self.is_ended = got == 0 || self.page.limit == 0 || self.page.offset >= count;
        Ok(items)
    }
}
