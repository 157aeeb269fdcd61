//! Revocation lists, OCSP responses and certificates for checks. They come from the store, or are fetched from
//! addresses that the policy allows, through the guard of outgoing requests.

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

/// The longest revocation list that is fetched, in bytes.
const MAX_LIST_BYTES: usize = 32 << 20;
/// The maximum number of stored pieces of evidence, and the maximum number of their bytes. The oldest are deleted first.
pub const MAX_KEPT: i64 = 4096;
const MAX_KEPT_BYTES: i64 = 256 << 20;
/// The time for one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for which a revocation list without a next update is used, and the longest for any list.
const DEFAULT_LIST_TTL: Duration = Duration::from_hours(1);
const MAX_LIST_TTL: Duration = Duration::from_hours(24);
/// The time for which an OCSP response is used. Its validity is short, and asking again is cheap.
const RESPONSE_TTL: Duration = Duration::from_mins(5);
const CERTIFICATE_TTL: Duration = Duration::from_hours(30 * 24);

/// The maximum number of rounds of fetches for appended parts.
const MAX_APPENDED_ROUNDS: usize = 3;
/// The maximum number of fetches of a check at the same time.
const MAX_CONCURRENT_FETCHES: usize = 4;
/// The time in which fetches for the signers may begin, so that a hanging server does not delay signing for long.
const SIGNERS_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for all fetches for parts that anybody can append to a signature.
const APPENDED_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of addresses that are asked for appended parts.
const MAX_APPENDED_ADDRESSES: usize = 16;
/// The longest body that is fetched for appended parts.
const MAX_APPENDED_BODY_BYTES: usize = 4 << 20;
/// The maximum number of bytes of all bodies of a check, and of those for appended parts.
const MAX_BYTES: usize = 64 << 20;
const MAX_APPENDED_BYTES: usize = 16 << 20;
/// The maximum number of certificates of a check, and of those for appended parts.
const MAX_CERTIFICATES: usize = 256;
const MAX_APPENDED_CERTIFICATES: usize = 128;

/// The search for the evidence of one check.
#[expect(missing_debug_implementations, reason = "the application has none")]
pub struct Search<'a> {
    app: &'a Domain,
    pub material: Material,
    /// The fetched bodies with their kinds, in the order in which the material has them.
    found: Vec<(NeedKind, Vec<u8>)>,
    /// The addresses that were asked, with or without an answer.
    asked: BTreeSet<Asked>,
    /// The addresses that were looked up in the store.
    looked_up: BTreeSet<Asked>,
    /// True if addresses that the policy does not allow may be asked, too.
    may_ask_private: bool,
    own: Budget,
    appended: Budget,
}

/// An address, with the body of the request to it.
type Asked = (String, Option<String>);

/// The limits for the needs of one party. Only fetches use up the time, so a signature that is slow to validate gains
/// none.
struct Budget {
    rounds: usize,
    time: Duration,
    bytes: usize,
}

/// The party that evidence is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Party {
    Signers,
    /// The parts that anybody can append to a signature.
    Appended,
}

impl Party {
    fn of(need: &Need) -> Self {
        match need.cause {
            Cause::Appended => Self::Appended,
            Cause::Signer | Cause::SignersPath => Self::Signers,
        }
    }
}

/// The outcome of a need.
enum Answer {
    Body(Vec<u8>),
    /// The address was asked without success.
    Nothing,
    /// The time was over, or the store could not be read.
    NotAsked,
}

impl<'a> Search<'a> {
    /// Begins a search. Each round may reveal needs of the next: the issuers one by one, then the revocation of all.
    pub fn new(
        app: &'a Domain,
        anchors: Vec<Certificate>,
        policy: &Policy,
        may_ask_private: bool,
    ) -> Self {
        Self {
            app,
            material: Material {
                anchors,
                ..Material::default()
            },
            found: Vec::new(),
            asked: BTreeSet::new(),
            looked_up: BTreeSet::new(),
            may_ask_private,
            own: Budget {
                rounds: policy.path_length + 2,
                time: SIGNERS_TIMEOUT,
                bytes: MAX_BYTES,
            },
            appended: Budget {
                rounds: MAX_APPENDED_ROUNDS,
                time: APPENDED_TIMEOUT,
                bytes: MAX_APPENDED_BYTES,
            },
        }
    }

    /// Fetches the needs concurrently, so that no address takes the time of another: first those of the signers, then
    /// those of appended parts. True if anything new was found.
    pub async fn next(&mut self, report: &Report) -> bool {
        let needs = &report.needs;
        self.look_up(&report.newer).await
            || self.round(needs, Party::Signers).await
            || self.round(needs, Party::Appended).await
    }

    /// Adds stored evidence that may be newer than the signer's own. True if there is any.
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
                    news |= self.take(need.clone(), body, Party::Signers);
                }
                Ok(None) => {}
                Err(error) => not_looked_up(&error.into()),
            }
        }
        news
    }

    /// True if all permitted addresses that a signer needs were asked. The verdict may not rest on an address that
    /// was not.
    pub fn has_asked(&self, report: &Report) -> bool {
        let missed = |need: &Need| {
            let asked = address(need).is_none_or(|asked| self.asked.contains(&asked));
            Party::of(need) == Party::Signers && self.may_ask(need) && !asked
        };
        !report.has_more_needs && !report.needs.iter().any(missed)
    }

    const fn budget(&mut self, party: Party) -> &mut Budget {
        match party {
            Party::Signers => &mut self.own,
            Party::Appended => &mut self.appended,
        }
    }

    async fn round(&mut self, needs: &[Need], party: Party) -> bool {
        let wanted = self.wanted(needs, party);
        let (app, budget) = (self.app, self.budget(party));
        if wanted.is_empty() || budget.rounds == 0 || budget.time.is_zero() {
            return false;
        }
        budget.rounds -= 1;
        let begun = app.clock.now();
        let until = begun + budget.time;
        let seek = wanted
            .into_iter()
            .map(|need| async move { (seek(app, &need, party, until).await, need) });
        let mut seek = futures_util::stream::iter(seek).buffer_unordered(MAX_CONCURRENT_FETCHES);
        let mut news = false;
        while let Some((answer, need)) = seek.next().await {
            news |= self.take(need, answer, party);
        }
        let budget = self.budget(party);
        budget.time = budget.time.saturating_sub(app.clock.now().since(begun));
        news
    }

    fn may_ask(&self, need: &Need) -> bool {
        // With private targets, IP addresses are allowed in place of names, too.
        need.url.is_some() && (need.allowed || self.may_ask_private)
    }

    /// The permitted needs that were not asked for yet, each once.
    fn wanted(&self, needs: &[Need], party: Party) -> Vec<Need> {
        let most = match party {
            Party::Signers => usize::MAX,
            Party::Appended => MAX_APPENDED_ADDRESSES,
        };
        let mut known = self.asked.clone();
        let fits = |need: &&Need| Party::of(need) == party && self.may_ask(need);
        let new = |need: &&Need| address(need).is_some_and(|address| known.insert(address));
        let wanted = needs.iter().filter(fits).filter(new);
        wanted.take(most).cloned().collect()
    }

    fn take(&mut self, need: Need, answer: Answer, party: Party) -> bool {
        let budget = self.budget(party);
        let body = match answer {
            Answer::Body(body) if body.len() <= budget.bytes => Some(body),
            // A body beyond the budget counts as not asked for.
            Answer::Body(_) | Answer::NotAsked => return false,
            Answer::Nothing => None,
        };
        budget.bytes -= body.as_ref().map_or(0, Vec::len);
        self.asked.extend(address(&need));
        let Some(body) = body else {
            let away = need.kind == NeedKind::Issuer && party == Party::Signers;
            self.material.unreachable.extend(need.url.filter(|_| away));
            return away;
        };
        let known = self.material.certificates.len();
        let added = add(need.kind, &body, &mut self.material);
        let most = match party {
            Party::Signers => MAX_CERTIFICATES,
            Party::Appended => MAX_APPENDED_CERTIFICATES,
        };
        self.material.certificates.truncate(most.max(known));
        self.found.push((need.kind, body));
        added
    }

    /// The fetched evidence that the verdict rests on.
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

/// Finds the evidence for a need. A fetch for a signer that has begun may take the full [`FETCH_TIMEOUT`].
async fn seek(app: &Domain, need: &Need, party: Party, until: Timestamp) -> Answer {
    let now = app.clock.now();
    if now >= until {
        return Answer::NotAsked;
    }
    let (deadline, longest) = match party {
        Party::Signers => (now + FETCH_TIMEOUT, MAX_LIST_BYTES),
        Party::Appended => (until.min(now + FETCH_TIMEOUT), MAX_APPENDED_BODY_BYTES),
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
        "cannot look up stored evidence of a signature"
    );
}

/// The key under which the answer of an address is stored.
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

/// The answer of an address, from the store, or fetched and stored.
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
        tracing::info!(
            need = name(need.kind),
            "a fetched {} of a signature is not what was asked for",
            name(need.kind)
        );
        return Ok(None);
    }
    if !is_wanted(need, &body).await? {
        // The body may help this check all the same, but is not stored for other signatures.
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
            store::shrink(tx, MAX_KEPT, MAX_KEPT_BYTES)
        })
        .await?;
    Ok(Some(body.to_vec()))
}

/// The maximum number of certificates of one name that are tried as issuers.
const MAX_NAMESAKES: usize = 64;

/// True if a body for an issuer contains the issuer of the given certificate. Another certificate, which may be at the
/// address only for a moment or for one signer, must not be stored for all.
async fn is_wanted(need: &Need, body: &[u8]) -> Result<bool> {
    let Some(child) = need.child.clone() else {
        return Ok(true);
    };
    let body = body.to_vec();
    let look = move || {
        let found = Certificate::read_all(&body).unwrap_or_default();
        let namesakes = found.iter().filter(|one| one.subject.same(&child.issuer));
        let mut tried = namesakes.take(MAX_NAMESAKES);
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
            next.map_or(DEFAULT_LIST_TTL, |next| {
                let left = u64::try_from(next.unix() - now.secs()).unwrap_or(0);
                Duration::from_secs(left).min(MAX_LIST_TTL)
            })
        }
        NeedKind::Ocsp => RESPONSE_TTL,
        NeedKind::Issuer | NeedKind::Certificate => CERTIFICATE_TTL,
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
    let deadline = app.clock.sleep(FETCH_TIMEOUT);
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
            tracing::info!(
                http.status = answer.status,
                "cannot fetch evidence of a signature"
            );
            None
        }
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "cannot fetch evidence of a signature"
            );
            None
        }
    }
}
