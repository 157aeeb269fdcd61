//! Lists that are read and sent piece by piece: what is in memory of one is bounded, however long it is.

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

/// A part of a list that is being sent.
struct Rest<R> {
    app: Platform,
    /// The workspace whose list it is.
    workspace: Option<WorkspaceId>,
    read: R,
    page: Page,
    /// The number of all items, as it was told at the beginning.
    count: i64,
    is_ended: bool,
}

/// Answers `{"count", "items"}`. `read` gives how many there are in all, and the items from an offset on, at
/// most so many; fewer where they would have too many bytes, but none only at the end.
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
        // A number that was told stays.
        self.count = self.count.min(count);
        let got = i64::try_from(items.len()).map_err(Error::internal)?;
        self.page.offset += got;
        self.page.limit -= got;
        self.is_ended = got == 0 || self.page.limit == 0 || self.page.offset >= count;
        Ok(items)
    }
}
