//! Revocation lists, OCSP responses and certificates that checks ask for: kept, else fetched through the
//! guard, only from where the policy allows.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::StreamExt as _;
use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_sign::{Cause, Certificate, Crl, Material, Need, NeedKind, Ocsp, OcspAnswer, Report};
use prichal_store::{
    evidence::{self as store, Evidence},
    signature::Proof,
};
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

/// How often more is looked for: each round may name what the next one needs.
const ROUNDS: usize = 4;
/// How many are asked at once.
const TOGETHER: usize = 4;
/// The time for all that the signers need. Whoever signs does not wait for a server that hangs.
const PATIENCE_ALL: Duration = Duration::from_secs(10);
/// The time for what anybody can append to a signature, all in all.
const PATIENCE_APPENDED: Duration = Duration::from_secs(2);
/// How many addresses are asked for what is appended.
const MOST_APPENDED: usize = 16;
/// The longest body that is fetched for it.
const LONGEST_APPENDED: usize = 4 << 20;
/// Bodies of one check together.
const LONGEST_ALL: usize = 64 << 20;

/// The search for what one check needs.
#[expect(missing_debug_implementations, reason = "the application has none")]
pub struct Search<'a> {
    app: &'a App,
    pub material: Material,
    /// Bodies as they were fetched, with the place of each in the material.
    found: Vec<(NeedKind, Vec<u8>)>,
    sought: Vec<(String, Option<String>)>,
    bytes: usize,
    rounds: usize,
    until: Timestamp,
    is_appended: bool,
}

impl<'a> Search<'a> {
    pub fn new(app: &'a App, anchors: Vec<Certificate>) -> Self {
        Self {
            app,
            material: Material {
                anchors,
                ..Material::default()
            },
            found: Vec::new(),
            sought: Vec::new(),
            bytes: 0,
            rounds: 0,
            until: app.clock.now() + PATIENCE_ALL,
            is_appended: false,
        }
    }

    /// Looks for what is needed, side by side, so that no address takes the time of another: first all that
    /// the signers need, and then, in a time of its own, what is appended. Says whether anything new is
    /// known.
    pub async fn next(&mut self, needs: &[Need]) -> bool {
        if self.round(needs).await {
            return true;
        }
        if self.is_appended {
            return false;
        }
        self.is_appended = true;
        self.rounds = 0;
        self.until = self.app.clock.now() + PATIENCE_APPENDED;
        self.round(needs).await
    }

    async fn round(&mut self, needs: &[Need]) -> bool {
        self.rounds += 1;
        if self.rounds >= ROUNDS {
            return false;
        }
        let wanted = self.wanted(needs);
        let (app, until) = (self.app, self.until);
        let longest = if self.is_appended {
            LONGEST_APPENDED
        } else {
            LONGEST
        };
        let seek = wanted.into_iter().map(|need| async move {
            let deadline = until.min(app.clock.now() + PATIENCE);
            let body = tokio::select! {
                body = find(app, &need, longest) => body,
                () = app.clock.sleep_until(deadline) => None,
            };
            (need, body)
        });
        let mut seek = futures_util::stream::iter(seek).buffer_unordered(TOGETHER);
        let mut news = false;
        while let Some((need, body)) = seek.next().await {
            news |= self.take(need, body);
        }
        news
    }

    /// Needs that may be asked for and were not yet.
    fn wanted(&mut self, needs: &[Need]) -> Vec<Need> {
        let mut wanted = Vec::new();
        for need in needs {
            let own = need.cause != Cause::Appended;
            let Some(url) = need.url.clone() else {
                continue;
            };
            // Where private targets are allowed, so are addresses instead of names.
            let allowed = need.allowed || self.app.config.allow_private_targets;
            let full = self.is_appended && wanted.len() >= MOST_APPENDED;
            let key = (url, need.request.clone());
            if allowed && !full && own != self.is_appended && !self.sought.contains(&key) {
                self.sought.push(key);
                wanted.push(need.clone());
            }
        }
        wanted
    }

    fn take(&mut self, need: Need, body: Option<Vec<u8>>) -> bool {
        let body = body.filter(|body| self.bytes + body.len() <= LONGEST_ALL);
        let Some(body) = body else {
            let away = need.kind == NeedKind::Issuer && !self.is_appended;
            self.material.unreachable.extend(need.url.filter(|_| away));
            return away;
        };
        self.bytes += body.len();
        let added = add(need.kind, &body, &mut self.material);
        self.found.push((need.kind, body));
        added
    }

    /// What was fetched and the verdict rests on.
    pub fn used(self, report: &Report) -> Vec<Proof> {
        let signers = &report.signers;
        let rests_on = |label: &str| {
            let mut evidence = signers.iter().flat_map(|one| &one.evidence);
            evidence.any(|used| used.contains(label))
        };
        let on_path = |certificate: &Certificate| {
            let subject = certificate.subject.to_string();
            signers.iter().any(|one| one.path.contains(&subject))
        };
        let used = self.found.into_iter().filter_map(|(kind, body)| {
            let body = match kind {
                NeedKind::Crl => {
                    let list = Crl::read(&body).ok()?;
                    rests_on(&list.label()).then(|| list.raw().to_vec())?
                }
                NeedKind::Ocsp => {
                    let label = Ocsp::read(&body).ok()?.label();
                    rests_on(&label).then_some(body)?
                }
                NeedKind::Issuer | NeedKind::Certificate => {
                    let read = Certificate::read_all(&body).ok()?;
                    read.into_iter().find(on_path)?.raw().to_vec()
                }
            };
            Some(Proof {
                kind: name(kind).to_owned(),
                sha256: sha256_hex(&body),
                body,
            })
        });
        let mut used: Vec<Proof> = used.collect();
        used.sort_by(|a, b| (&a.kind, &a.sha256).cmp(&(&b.kind, &b.sha256)));
        used.dedup_by(|a, b| a.sha256 == b.sha256);
        used
    }
}

/// What a check needs, if it can be had.
async fn find(app: &App, need: &Need, longest: usize) -> Option<Vec<u8>> {
    let url = need.url.as_deref()?;
    match get(app, need, url, longest).await {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "evidence could not be looked up"
            );
            None
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
async fn get(app: &App, need: &Need, url: &str, longest: usize) -> Result<Option<Vec<u8>>> {
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
    let Some(body) = fetch(app, need, url, longest).await else {
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

async fn fetch(app: &App, need: &Need, url: &str, longest: usize) -> Option<Bytes> {
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
        keep: longest,
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
