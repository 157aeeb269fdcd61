//! Revocation lists, OCSP responses and certificates that checks ask for: kept, else fetched through the
//! guard, only from where the policy allows.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_sign::{Certificate, Crl, Material, Need, NeedKind, Ocsp, OcspAnswer};
use prichal_store::evidence::{self as store, Evidence};
use uuid::Uuid;

use crate::{
    app::App,
    error::Result,
    outgoing::{Outgoing, connections::Connections, names::Asker, target::Target},
    vault::sha256_hex,
};

/// The longest revocation list that is fetched.
const LONGEST: usize = 32 << 20;
/// How much is kept: so many, with so many bytes together. The oldest make room.
pub const MOST: i64 = 4096;
const MOST_BYTES: i64 = 256 << 20;
/// The time for one fetch.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a revocation list is used when it does not say until when it is good, and at the longest.
const LIST: Duration = Duration::from_hours(1);
const LONGEST_LIST: Duration = Duration::from_hours(24);
/// How long a response is used: its window is short, and it is cheap to ask again.
const RESPONSE: Duration = Duration::from_mins(5);
const CERTIFICATE: Duration = Duration::from_hours(30 * 24);

/// Adds what a check needs to its material, if it can be had.
pub async fn find(app: &App, need: &Need, material: &mut Material) -> bool {
    let Some(url) = need.url.as_deref() else {
        return false;
    };
    // Where private targets are allowed, so are addresses instead of names.
    if !need.allowed && !app.config.allow_private_targets {
        return false;
    }
    match get(app, need, url).await {
        Ok(Some(body)) => add(need.kind, &body, material),
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "evidence could not be looked up"
            );
            false
        }
    }
}

fn add(kind: NeedKind, body: &[u8], material: &mut Material) -> bool {
    match kind {
        NeedKind::Crl => Crl::read(body).map(|list| material.crls.push(list)).is_ok(),
        NeedKind::Ocsp => Ocsp::read(body)
            .map(|response| {
                material.ocsp.push(OcspAnswer {
                    response,
                    nonce: None,
                });
            })
            .is_ok(),
        NeedKind::Issuer | NeedKind::Certificate => Certificate::read_all(body)
            .map(|found| material.certificates.extend(found))
            .is_ok(),
    }
}

/// What an address gives: kept, or fetched now and kept.
async fn get(app: &App, need: &Need, url: &str) -> Result<Option<Vec<u8>>> {
    let key = match &need.request {
        Some(request) => format!("{url}#{}", sha256_hex(request.as_bytes())),
        None => url.to_owned(),
    };
    let (wanted, now) = (key.clone(), app.clock.now());
    let kept = app
        .db
        .read(move |conn| store::find(conn, &wanted, now))
        .await?;
    if let Some(kept) = kept {
        return Ok(Some(kept.body));
    }
    let Some(body) = fetch(app, need, url).await else {
        return Ok(None);
    };
    let mut probe = Material::default();
    if !add(need.kind, &body, &mut probe) {
        tracing::info!(need = ?need.kind, "what was fetched is not what was asked for");
        return Ok(None);
    }
    let evidence = Evidence {
        url: key,
        kind: name(need.kind).to_owned(),
        body: body.to_vec(),
        fetched_at: now,
        expires_at: now + good_for(need.kind, &probe, now),
    };
    app.db
        .write(WorkspaceId(Uuid::nil()), move |tx| {
            store::put(tx, &evidence)?;
            store::shrink(tx, MOST, MOST_BYTES)
        })
        .await?;
    Ok(Some(body.to_vec()))
}

fn name(kind: NeedKind) -> &'static str {
    match kind {
        NeedKind::Crl => "crl",
        NeedKind::Ocsp => "ocsp",
        NeedKind::Issuer | NeedKind::Certificate => "issuer",
    }
}

fn good_for(kind: NeedKind, found: &Material, now: Timestamp) -> Duration {
    match kind {
        NeedKind::Crl => {
            let next = found.crls.first().and_then(|list| list.next_update);
            next.map_or(LIST, |next| {
                let left = u64::try_from(next.unix() - now.secs()).unwrap_or(0);
                Duration::from_secs(left).min(LONGEST_LIST)
            })
        }
        NeedKind::Ocsp => RESPONSE,
        NeedKind::Issuer | NeedKind::Certificate => CERTIFICATE,
    }
}

async fn fetch(app: &App, need: &Need, url: &str) -> Option<Bytes> {
    let target = Target::parse(url).ok()?;
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, crate::dispatch::call::USER_AGENT);
    let (method, body) = match &need.request {
        Some(request) => {
            let kind = HeaderValue::from_static("application/ocsp-request");
            headers.insert(header::CONTENT_TYPE, kind);
            (Method::POST, STANDARD.decode(request).ok()?.into())
        }
        None => (Method::GET, Bytes::new()),
    };
    let request = Outgoing {
        method,
        headers,
        body,
        keep: LONGEST,
    };
    let deadline = app.clock.sleep(PATIENCE);
    let called = app
        .outgoing
        .call(
            &Connections::new(1, Asker::Server),
            &target,
            request,
            deadline,
        )
        .await;
    match called {
        Ok(answer) if answer.status == 200 && !answer.truncated => Some(answer.body),
        Ok(answer) => {
            tracing::info!(http.status = answer.status, "evidence could not be fetched");
            None
        }
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "evidence could not be fetched"
            );
            None
        }
    }
}
