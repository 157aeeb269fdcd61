//! The ticket that ties a signature to the content that was issued with it. It is used once.

use prichal_core::{
    id::{UserId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Conn,
    document_blob::{self, DocumentBlob},
    signature::{self, Link},
};
use uuid::Uuid;

use crate::error::Result;

/// A signature that asks for its ticket.
pub struct Question<'a> {
    pub company: WorkspaceId,
    pub employee: UserId,
    pub document: Uuid,
    /// By default the employee's live ticket for the document.
    pub ticket: Option<Uuid>,
    pub signature: &'a DocumentBlob,
    pub now: Timestamp,
}

/// The reason for which a ticket is not valid for a signature.
pub enum Refusal {
    Unknown,
    /// It is for another document or employee.
    Foreign,
    /// It was used with another signature.
    Used,
    /// It has expired, or a newer one has replaced it.
    Expired,
}

/// Finds the ticket of a signature. Returns `None` if it was used with the same signature before.
pub fn find(conn: &mut Conn, question: &Question<'_>) -> Result<Result<Option<Link>, Refusal>> {
    let Question {
        company,
        employee,
        document,
        now,
        ..
    } = *question;
    let link = match question.ticket {
        Some(ticket) => signature::find_ticket(conn, company, ticket)?,
        None => signature::live_ticket(conn, company, document, employee, now)?,
    };
    let Some(link) = link else {
        return Ok(Err(Refusal::Unknown));
    };
    if link.document != document || link.employee != Some(employee) {
        return Ok(Err(Refusal::Foreign));
    }
    if link.signature.is_some() {
        let is_same = is_same(conn, &link, company, &question.signature.sha256, now)?;
        return Ok(if is_same {
            Ok(None)
        } else {
            Err(Refusal::Used)
        });
    }
    if !link.live || link.dispose_on <= now {
        return Ok(Err(Refusal::Expired));
    }
    Ok(Ok(Some(link)))
}

/// True if a ticket was used with the signature that has this digest.
pub fn used_with(
    conn: &mut Conn,
    company: WorkspaceId,
    ticket: Uuid,
    sha256: &str,
    now: Timestamp,
) -> Result<bool> {
    match signature::find_ticket(conn, company, ticket)? {
        Some(link) => is_same(conn, &link, company, sha256, now),
        None => Ok(false),
    }
}

fn is_same(
    conn: &mut Conn,
    link: &Link,
    company: WorkspaceId,
    sha256: &str,
    now: Timestamp,
) -> Result<bool> {
    let Some(used) = link.signature else {
        return Ok(false);
    };
    let used = document_blob::find(conn, company, used, now)?;
    Ok(used.is_some_and(|used| used.sha256 == sha256))
}
