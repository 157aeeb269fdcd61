//! Revocation lists, OCSP responses and certificates that checks ask for: kept, else fetched through the
//! guard, only from where the policy allows.

use std::{collections::BTreeSet, time::Duration};

use axum::http::{HeaderMap, HeaderValue, Method, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::StreamExt as _;
use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_sign::{
    Cause, Certificate, Crl, Material, Need, NeedKind, Ocsp, OcspAnswer, Policy, Report,
};
use prichal_store::{
    Conn,
    evidence::{self as store, Evidence},
    signature::Proof,
};
use uuid::Uuid;

use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::{
        outgoing::{Outgoing, connections::Connections, names::Requester, target::Target},
        vault::sha256_hex,
    },
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

/// How often more is looked for of what is appended.
const ROUNDS_APPENDED: usize = 3;
/// How many are asked at once.
const TOGETHER: usize = 4;
/// The time in which fetches for the signers are begun. Whoever signs does not wait for a server that hangs.
const PATIENCE_ALL: Duration = Duration::from_secs(10);
/// The time for what anybody can append to a signature, all in all.
const PATIENCE_APPENDED: Duration = Duration::from_secs(2);
/// How many addresses are asked for what is appended.
const MOST_APPENDED: usize = 16;
/// The longest body that is fetched for it.
const LONGEST_APPENDED: usize = 4 << 20;
/// Bodies of one check together, and those of what is appended.
const LONGEST_ALL: usize = 64 << 20;
const LONGEST_ALL_APPENDED: usize = 16 << 20;
/// Certificates of one check together, and those of what is appended.
const MOST_CERTIFICATES: usize = 256;
const MOST_CERTIFICATES_APPENDED: usize = 128;

/// The search for what one check needs.
#[expect(missing_debug_implementations, reason = "the application has none")]
pub struct Search<'a> {
    app: &'a Domain,
    pub material: Material,
    /// Bodies as they were fetched, with the place of each in the material.
    found: Vec<(NeedKind, Vec<u8>)>,
    /// Addresses that have answered, or that were asked in vain.
    asked: BTreeSet<Asked>,
    /// Addresses of which it was looked up what is kept.
    looked_up: BTreeSet<Asked>,
    own: Room,
    appended: Room,
}

/// An address, with the request that goes there.
type Asked = (String, Option<String>);

/// Room for needs of one cause. Only fetches use up the time: a signer who makes the validation slow gains none.
struct Room {
    rounds: usize,
    time: Duration,
    bytes: usize,
}

/// Whom something is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    Signers,
    /// What anybody can append to a signature.
    Appended,
}

impl Whom {
    fn of(need: &Need) -> Self {
        match need.cause {
            Cause::Appended => Self::Appended,
            Cause::Signer | Cause::SignersPath => Self::Signers,
        }
    }
}

/// What came of a need.
enum Answer {
    Body(Vec<u8>),
    /// Its address was asked in vain.
    Nothing,
    /// The time was over before, or the store could not be read.
    NotAsked,
}

impl<'a> Search<'a> {
    /// Begins one. Each round may name what the next one needs: the issuers one by one, and then the revocation
    /// of them all.
    pub fn new(app: &'a Domain, anchors: Vec<Certificate>, policy: &Policy) -> Self {
        Self {
            app,
            material: Material {
                anchors,
                ..Material::default()
            },
            found: Vec::new(),
            asked: BTreeSet::new(),
            looked_up: BTreeSet::new(),
            own: Room {
                rounds: policy.path_length + 2,
                time: PATIENCE_ALL,
                bytes: LONGEST_ALL,
            },
            appended: Room {
                rounds: ROUNDS_APPENDED,
                time: PATIENCE_APPENDED,
                bytes: LONGEST_ALL_APPENDED,
            },
        }
    }

    /// Looks for what is needed, side by side, so that no address takes the time of another: first what the
    /// signers need, whatever made it known, and only then what is appended. Says whether anything new is known.
    pub async fn next(&mut self, report: &Report) -> bool {
        let needs = &report.needs;
        self.look_up(&report.newer).await
            || self.round(needs, Whom::Signers).await
            || self.round(needs, Whom::Appended).await
    }

    /// Adds what is kept here and may be newer than what the signer has chosen. Says whether anything is.
    async fn look_up(&mut self, newer: &[Need]) -> bool {
        let mut news = false;
        for need in newer {
            if !self.may_ask(need) {
                continue;
            }
            let Some(at) = address(need) else { continue };
            if self.asked.contains(&at) || !self.looked_up.insert(at) {
                continue;
            }
            let key = key(need).unwrap_or_default();
            let now = self.app.clock.now();
            let find = move |conn: &mut Conn| store::find(conn, &key, now);
            match self.app.db.read(find).await {
                Ok(Some(kept)) => {
                    let body = Answer::Body(kept.body);
                    news |= self.take(need.clone(), body, Whom::Signers);
                }
                Ok(None) => {}
                Err(error) => not_looked_up(&error.into()),
            }
        }
        news
    }

    /// Whether every address was asked that a signer needs and that may be asked. Where one was not, nobody
    /// knows what it would have said.
    pub fn has_asked(&self, report: &Report) -> bool {
        let missed = |need: &Need| {
            let asked = address(need).is_none_or(|asked| self.asked.contains(&asked));
            Whom::of(need) == Whom::Signers && self.may_ask(need) && !asked
        };
        !report.has_more_needs && !report.needs.iter().any(missed)
    }

    const fn room(&mut self, whom: Whom) -> &mut Room {
        match whom {
            Whom::Signers => &mut self.own,
            Whom::Appended => &mut self.appended,
        }
    }

    async fn round(&mut self, needs: &[Need], whom: Whom) -> bool {
        let wanted = self.wanted(needs, whom);
        let (app, room) = (self.app, self.room(whom));
        if wanted.is_empty() || room.rounds == 0 || room.time.is_zero() {
            return false;
        }
        room.rounds -= 1;
        let begun = app.clock.now();
        let until = begun + room.time;
        let seek = wanted
            .into_iter()
            .map(|need| async move { (seek(app, &need, whom, until).await, need) });
        let mut seek = futures_util::stream::iter(seek).buffer_unordered(TOGETHER);
        let mut news = false;
        while let Some((answer, need)) = seek.next().await {
            news |= self.take(need, answer, whom);
        }
        let room = self.room(whom);
        room.time = room.time.saturating_sub(app.clock.now().since(begun));
        news
    }

    fn may_ask(&self, need: &Need) -> bool {
        // Where private targets are allowed, so are addresses instead of names.
        need.url.is_some() && (need.allowed || self.app.config.allow_private_targets)
    }

    /// Needs that may be asked for and were not yet, each once.
    fn wanted(&self, needs: &[Need], whom: Whom) -> Vec<Need> {
        let most = match whom {
            Whom::Signers => usize::MAX,
            Whom::Appended => MOST_APPENDED,
        };
        let mut known = self.asked.clone();
        let fits = |need: &&Need| Whom::of(need) == whom && self.may_ask(need);
        let new = |need: &&Need| address(need).is_some_and(|address| known.insert(address));
        let wanted = needs.iter().filter(fits).filter(new);
        wanted.take(most).cloned().collect()
    }

    fn take(&mut self, need: Need, answer: Answer, whom: Whom) -> bool {
        let room = self.room(whom);
        let body = match answer {
            Answer::Body(body) if body.len() <= room.bytes => Some(body),
            // Where there is no room for it, it is as if it had not been asked for.
            Answer::Body(_) | Answer::NotAsked => return false,
            Answer::Nothing => None,
        };
        room.bytes -= body.as_ref().map_or(0, Vec::len);
        self.asked.extend(address(&need));
        let Some(body) = body else {
            let away = need.kind == NeedKind::Issuer && whom == Whom::Signers;
            self.material.unreachable.extend(need.url.filter(|_| away));
            return away;
        };
        let known = self.material.certificates.len();
        let added = add(need.kind, &body, &mut self.material);
        let most = match whom {
            Whom::Signers => MOST_CERTIFICATES,
            Whom::Appended => MOST_CERTIFICATES_APPENDED,
        };
        self.material.certificates.truncate(most.max(known));
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

fn address(need: &Need) -> Option<Asked> {
    Some((need.url.clone()?, need.request.clone()))
}

/// What a check needs, if it can be had. A fetch for a signer that has begun has all the time of one.
async fn seek(app: &Domain, need: &Need, whom: Whom, until: Timestamp) -> Answer {
    let now = app.clock.now();
    if now >= until {
        return Answer::NotAsked;
    }
    let (deadline, longest) = match whom {
        Whom::Signers => (now + PATIENCE, LONGEST),
        Whom::Appended => (until.min(now + PATIENCE), LONGEST_APPENDED),
    };
    tokio::select! {
        answer = find(app, need, longest) => answer,
        () = app.clock.sleep_until(deadline) => Answer::Nothing,
    }
}

async fn find(app: &Domain, need: &Need, longest: usize) -> Answer {
    let Some(url) = need.url.as_deref() else {
        return Answer::NotAsked;
    };
    match get(app, need, url, longest).await {
        Ok(body) => body.map_or(Answer::Nothing, Answer::Body),
        Err(error) => {
            not_looked_up(&error);
            Answer::NotAsked
        }
    }
}

fn not_looked_up(error: &Error) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "evidence could not be looked up"
    );
}

/// The name that the answer of an address is kept under.
fn key(need: &Need) -> Option<String> {
    let url = need.url.as_deref()?;
    Some(match &need.request {
        Some(request) => format!("{url}#{}", sha256_hex(request.as_bytes())),
        None => url.to_owned(),
    })
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
async fn get(app: &Domain, need: &Need, url: &str, longest: usize) -> Result<Option<Vec<u8>>> {
    let key = key(need).unwrap_or_default();
    let (wanted, now) = (key.clone(), app.clock.now());
    let kept = app
        .db
        .read(move |conn| store::find(conn, &wanted, now))
        .await?;
    if let Some(kept) = kept
        && is_wanted(need, &kept.body).await?
    {
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
    if !is_wanted(need, &body).await? {
        // It may help all the same, and is no other signature's.
        return Ok(Some(body.to_vec()));
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

/// Certificates of one name that are tried as issuers, at most.
const MOST_NAMESAKES: usize = 64;

/// Whether a body that stands for an issuer has the one of the certificate that it is asked for. Another at its
/// address, for a moment or for one signer, is not kept for all.
async fn is_wanted(need: &Need, body: &[u8]) -> Result<bool> {
    let Some(child) = need.child.clone() else {
        return Ok(true);
    };
    let body = body.to_vec();
    let look = move || {
        let found = Certificate::read_all(&body).unwrap_or_default();
        let namesakes = found.iter().filter(|one| one.subject.same(&child.issuer));
        let mut tried = namesakes.take(MOST_NAMESAKES);
        tried.any(|one| child.is_issued_by(one))
    };
    tokio::task::spawn_blocking(look)
        .await
        .map_err(Error::internal)
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

async fn fetch(app: &Domain, need: &Need, url: &str, longest: usize) -> Option<Bytes> {
    let target = Target::parse(url).ok()?;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::USER_AGENT,
        crate::platform::outgoing::post::USER_AGENT,
    );
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
            &Connections::new(1, Requester::Server),
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
