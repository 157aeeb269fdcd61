//! The settings of a webhook's calls (`docs/contracts/prichal.md §6.1`). All are optional, and a webhook without settings
//! is called as it would be if there were none.

pub(crate) mod header;
mod tls;

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

pub use header::{Header, MASK, refuse_prefixes};
pub use tls::ClientCertificate;
use tls::{CLIENT_CERTIFICATE, SERVER_FINGERPRINT};

use crate::{
    resource::MAX_TEXT,
    retry::{Reply, Schedule, Verdict},
    schema::{self, Fault, Field, Object, Type, Words, member},
    time::{Timestamp, parse_setting, setting_text},
    words::words,
};

/// The bounds of the time-out of a call.
pub const MIN_TIMEOUT: Duration = Duration::from_secs(1);
pub const MAX_TIMEOUT: Duration = Duration::from_mins(1);
/// The bounds of a retry schedule.
const MAX_WAITS: usize = 30;
const MIN_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_hours(24);
/// The maximum number of calls in a period of a rate limit. Their times are kept in memory.
const MAX_RATE: i64 = 1000;
const MAX_CONCURRENCY: i64 = 32;
/// The wait up to which a receiver may ask for patience by `Retry-After`, if no wait of the schedule is longer.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

words! {
    /// The rule by which an answer is a success.
    Success {
        /// 200 with the echo of the call.
        Echo "echo",
        /// Any 2xx. The signature then proves to the receiver that the call is genuine.
        Any2xx "2xx",
    }
}

words! {
    /// The events that keep their order even if one of them fails.
    Order {
        /// Those about the same entity.
        Entity "entity",
    }
}

words! {
    /// The period of a rate limit.
    Per { Second "second", Minute "minute" }
}

words! {
    /// A version of signatures of Standard Webhooks.
    SignatureVersion {
        /// HMAC-SHA256 with the shared secret.
        V1 "v1",
        /// Ed25519 with the key pair of the webhook.
        V1a "v1a",
    }
}

static SUCCESS: Words = Words {
    name: "webhookSuccess",
    words: Success::WORDS,
};
static ORDER: Words = Words {
    name: "webhookOrder",
    words: Order::WORDS,
};
static PER: Words = Words {
    name: "ratePeriod",
    words: Per::WORDS,
};
static SIGNATURE: Words = Words {
    name: "signatureVersion",
    words: SignatureVersion::WORDS,
};

const RATE_LIMIT: &[Field] = &[
    Field::new("count", Type::Int)
        .required()
        .within(1, MAX_RATE)
        .doc("The number of calls."),
    Field::new("per", Type::Enum(&PER))
        .required()
        .doc("The period."),
];

const HEADERS: Field = Field::new("headers", Type::Free)
    .doc("Further headers of each call by name: a text, or `{\"value\": …, \"secret\": true}` for one that is stored sealed and shown as `***`. At most 20 with 4 KiB together; not those that the server sets.")
    .example(r#"{"x-tenant": "acme", "authorization": {"value": "Bearer 5f0c", "secret": true}}"#);
const TIMEOUT: Field = Field::new("timeout", Type::Text)
    .doc("The time for the whole call, 1 s to 1 min.")
    .example("5s");
const RATE: Field = Field::new("rateLimit", Type::Object(RATE_LIMIT))
    .doc("The maximum number of calls in any period, retries included. Events wait in the log.");

/// The members of the settings.
pub const DELIVERY_SETTINGS: &[Field] = &[
    HEADERS,
    TIMEOUT,
    Field::new("retrySchedule", Type::Texts)
        .items(MAX_WAITS)
        .doc("The waits between the calls for one event, each 1 s to 24 h, in the place of the server's; none for a single call.")
        .example(r#"["5s", "5m", "1h"]"#),
    Field::new("success", Type::Enum(&SUCCESS))
        .doc("The answers that acknowledge a call: `echo`, 200 with the echo header, or `2xx`. The former if absent."),
    Field::new("retryAfter", Type::Bool)
        .doc("True if `Retry-After` of an answer 429 or 503 makes the wait longer, up to 1 h or the longest wait of the schedule. If absent, true for `2xx` alone."),
    Field::new("disableOnGone", Type::Bool)
        .doc("True if an answer 410 switches the webhook off. If absent, true for `2xx` alone."),
    RATE,
    Field::new("maxConcurrency", Type::Int)
        .within(1, MAX_CONCURRENCY)
        .doc("The maximum number of calls at once. With 1 the webhook keeps the order of all events: an event that fails holds back those behind it, unless `order` says otherwise."),
    Field::new("order", Type::Enum(&ORDER))
        .doc("`entity`: an event that fails holds back the later ones about the same entity, and no others."),
    Field::new("signature", Type::Enums(&SIGNATURE))
        .items(SignatureVersion::ALL.len())
        .doc("The versions of signatures: `v1` with the signing secret, `v1a` with the key pair of the webhook. The former if absent."),
    CLIENT_CERTIFICATE,
    SERVER_FINGERPRINT,
    Field::new("script", Type::Text)
        .chars(MAX_TEXT)
        .doc("The code of a script of the workspace (`/rest/v1/service/svcscripts`) that decides what is sent of each event.")
        .example("to-slack"),
];

/// The members that the hook of a company's documents takes.
pub const DOCUMENT_SETTINGS: &[Field] = &[
    HEADERS,
    TIMEOUT,
    RATE,
    CLIENT_CERTIFICATE,
    SERVER_FINGERPRINT,
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliverySettings {
    pub headers: Vec<Header>,
    pub timeout: Option<Duration>,
    pub retry_schedule: Option<Schedule>,
    pub success: Option<Success>,
    pub retry_after: Option<bool>,
    pub disable_on_gone: Option<bool>,
    pub rate_limit: Option<RateLimit>,
    pub max_concurrency: Option<usize>,
    pub order: Option<Order>,
    /// Empty if absent.
    pub signature: Vec<SignatureVersion>,
    pub client_certificate: Option<ClientCertificate>,
    pub server_fingerprint: Option<[u8; 32]>,
    /// The code of the script that decides what is sent.
    pub script: Option<String>,
}

/// At most `count` calls in any period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub count: usize,
    pub per: Per,
}

impl Per {
    pub const fn duration(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
        }
    }
}

/// The events that wait for one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// None: later events overtake it.
    Loose,
    /// The later ones about the same entity.
    Entity,
    /// All later ones.
    Whole,
}

impl DeliverySettings {
    /// Reads settings as a client sends them, after their types were checked.
    pub fn read(object: &Object) -> Result<Self, Fault> {
        Self::from_json(object, false)
    }

    /// Reads settings as the store keeps them. Secrets are kept elsewhere.
    pub fn from_kept(object: &Object) -> Option<Self> {
        Self::from_json(object, true).ok()
    }

    fn from_json(object: &Object, is_kept: bool) -> Result<Self, Fault> {
        let word = |member: &str| object.get(member).and_then(Value::as_str);
        let flag = |member: &str| object.get(member).and_then(Value::as_bool);
        let headers = object.get("headers").and_then(Value::as_object);
        let versions = object.get("signature").and_then(Value::as_array);
        let versions = versions.into_iter().flatten().filter_map(Value::as_str);
        let mut signature: Vec<_> = versions.filter_map(SignatureVersion::from_name).collect();
        signature.sort_unstable();
        signature.dedup();
        Ok(Self {
            headers: headers.map_or(Ok(Vec::new()), |headers| header::read(headers, is_kept))?,
            timeout: word("timeout").map(timeout).transpose()?,
            retry_schedule: object
                .get("retrySchedule")
                .and_then(Value::as_array)
                .map(|waits| schedule(waits))
                .transpose()?,
            success: word("success").and_then(Success::from_name),
            retry_after: flag("retryAfter"),
            disable_on_gone: flag("disableOnGone"),
            rate_limit: object
                .get("rateLimit")
                .and_then(Value::as_object)
                .map(rate_limit)
                .transpose()?,
            max_concurrency: object
                .get("maxConcurrency")
                .and_then(Value::as_u64)
                .and_then(|count| usize::try_from(count).ok()),
            order: word("order").and_then(Order::from_name),
            signature,
            client_certificate: object
                .get(CLIENT_CERTIFICATE.name)
                .and_then(Value::as_object)
                .map(ClientCertificate::read),
            server_fingerprint: word(SERVER_FINGERPRINT.name)
                .map(tls::fingerprint)
                .transpose()?,
            script: word("script").map(script).transpose()?,
        })
    }

    /// The model with the values of secret headers.
    pub fn shown(&self) -> Value {
        self.to_json(Header::shown, ClientCertificate::masked)
    }

    /// The model without secrets.
    pub fn masked(&self) -> Value {
        self.to_json(Header::masked, ClientCertificate::masked)
    }

    /// The settings as the store keeps them beside the secrets.
    pub fn kept(&self) -> Value {
        self.to_json(Header::kept, ClientCertificate::kept)
    }

    fn to_json(
        &self,
        header: fn(&Header) -> Value,
        certificate: fn(&ClientCertificate) -> Value,
    ) -> Value {
        let mut out = Map::new();
        let mut put = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(member.to_owned(), value);
            }
        };
        let headers = self.headers.iter();
        let headers: Object = headers.map(|one| (one.name.clone(), header(one))).collect();
        put("headers", (!headers.is_empty()).then(|| headers.into()));
        put(
            "timeout",
            self.timeout.map(|time| setting_text(time).into()),
        );
        let waits = |schedule: &Schedule| schedule.0.iter().copied().map(setting_text).collect();
        put("retrySchedule", self.retry_schedule.as_ref().map(waits));
        put("success", self.success.map(|rule| rule.name().into()));
        put("retryAfter", self.retry_after.map(Value::Bool));
        put("disableOnGone", self.disable_on_gone.map(Value::Bool));
        let limit = |limit: RateLimit| json!({"count": limit.count, "per": limit.per.name()});
        put("rateLimit", self.rate_limit.map(limit));
        put("maxConcurrency", self.max_concurrency.map(Value::from));
        put("order", self.order.map(|order| order.name().into()));
        let versions = self.signature.iter().map(|version| version.name());
        let versions = (!self.signature.is_empty()).then(|| versions.collect());
        put("signature", versions);
        let client = self.client_certificate.as_ref();
        put(CLIENT_CERTIFICATE.name, client.map(certificate));
        let fingerprint = self.server_fingerprint.as_ref();
        put(
            SERVER_FINGERPRINT.name,
            fingerprint.map(|bytes| tls::fingerprint_text(bytes).into()),
        );
        put("script", self.script.as_deref().map(Value::from));
        Value::Object(out)
    }

    /// The settings after a change of some members: null removes one, and members that are not given stay. Of `headers`,
    /// the same holds for each name.
    pub fn changed(&self, given: &Object) -> Result<Self, Vec<Fault>> {
        let mut merged = self.shown();
        let merged = merged.as_object_mut().map(std::mem::take);
        let mut merged = merged.unwrap_or_default();
        for field in DELIVERY_SETTINGS {
            match member(given, field.name) {
                None => {}
                Some(Value::Null) => {
                    merged.shift_remove(field.name);
                }
                Some(Value::Object(headers)) if field.name == HEADERS.name => {
                    let known = merged.entry(field.name).or_insert_with(|| json!({}));
                    if let Some(known) = known.as_object_mut() {
                        header::merge(known, headers);
                    }
                }
                Some(value) => {
                    merged.insert(field.name.to_owned(), value.clone());
                }
            }
        }
        let read = schema::read_strictly(DELIVERY_SETTINGS, &merged, &mut Uuid::nil)?;
        let mut settings = Self::read(&read).map_err(|fault| vec![fault])?;
        settings.unmask(self).map_err(|fault| vec![fault])?;
        Ok(settings)
    }

    /// Refuses members that the hook of a company's documents does not take.
    pub fn check_for_documents(&self) -> Result<(), Fault> {
        let shown = self.shown();
        let mut members = shown.as_object().into_iter().flatten();
        let is_foreign = |name: &str| DOCUMENT_SETTINGS.iter().all(|field| field.name != name);
        match members.find(|(name, _)| is_foreign(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let names: Vec<_> = DOCUMENT_SETTINGS.iter().map(|field| field.name).collect();
                let why = format!(
                    "The hook of documents has no `{name}`: {}.",
                    names.join(", ")
                );
                Err(Fault::rule(name.as_str(), why))
            }
        }
    }

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub fn success(&self) -> Success {
        self.success.unwrap_or(Success::Echo)
    }

    /// True if calls are signed with this version.
    pub fn signs(&self, version: SignatureVersion) -> bool {
        if self.signature.is_empty() {
            version == SignatureVersion::V1
        } else {
            self.signature.contains(&version)
        }
    }

    pub fn strictness(&self) -> Strictness {
        match (self.order, self.max_concurrency) {
            (Some(Order::Entity), _) => Strictness::Entity,
            (None, Some(1)) => Strictness::Whole,
            (None, _) => Strictness::Loose,
        }
    }

    /// Judges attempt number `attempt`, counted from 1. `default` is the schedule of a webhook without one of its own,
    /// `after` the wait that the answer asks for.
    pub fn judge(
        &self,
        default: &Schedule,
        attempt: u32,
        reply: Reply,
        after: Option<Duration>,
        now: Timestamp,
    ) -> Verdict {
        let is_plain = self.success() == Success::Any2xx;
        if reply.status() == Some(410) && self.disable_on_gone.unwrap_or(is_plain) {
            return Verdict::Gone;
        }
        let schedule = self.retry_schedule.as_ref().unwrap_or(default);
        let verdict = schedule.judge(attempt, reply, now);
        let (Verdict::DeferredUntil(due), Some(after)) = (verdict, after) else {
            return verdict;
        };
        if !matches!(reply.status(), Some(429 | 503)) || !self.retry_after.unwrap_or(is_plain) {
            return verdict;
        }
        let longest = schedule.0.iter().copied().max().unwrap_or_default();
        let asked = now + after.min(longest.max(MAX_RETRY_AFTER));
        Verdict::DeferredUntil(due.max(asked))
    }

    /// Puts the values of `old` in the place of masked ones. The error names a member without an old value.
    pub fn unmask(&mut self, old: &Self) -> Result<(), Fault> {
        if let Some(client) = &mut self.client_certificate {
            client.unmask(old.client_certificate.as_ref())?;
        }
        header::unmask(&mut self.headers, &old.headers)
    }

    /// The secret headers by name, to be sealed.
    pub fn secret_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let secret = self.headers.iter().filter(|header| header.is_secret);
        secret.map(|header| (header.name.as_str(), header.value.as_str()))
    }

    /// Puts the values of secret headers in their places.
    pub fn open_headers(&mut self, value: impl Fn(&str) -> Option<String>) {
        for header in self.headers.iter_mut().filter(|header| header.is_secret) {
            header.value = value(&header.name).unwrap_or_default();
        }
    }
}

fn timeout(text: &str) -> Result<Duration, Fault> {
    let fits = |time: &Duration| (MIN_TIMEOUT..=MAX_TIMEOUT).contains(time);
    parse_setting(text).filter(fits).ok_or_else(|| {
        let why = "The timeout must be 1s to 1m: a whole number with `ms`, `s` or `m`.";
        Fault::rule("timeout", why)
    })
}

fn script(code: &str) -> Result<String, Fault> {
    if code.trim().is_empty() {
        return Err(Fault::rule(
            "script",
            "The script must be the code of a script.",
        ));
    }
    Ok(code.to_owned())
}

fn schedule(waits: &[Value]) -> Result<Schedule, Fault> {
    let fits = |wait: &Duration| (MIN_WAIT..=MAX_WAIT).contains(wait);
    let read = |(n, wait): (usize, &Value)| {
        let wait = wait.as_str().and_then(parse_setting).filter(fits);
        wait.ok_or_else(|| {
            let why = "A wait of the retrySchedule must be 1s to 24h: a whole number with `ms`, `s`, `m` or `h`.";
            Fault::rule(format!("retrySchedule[{n}]"), why)
        })
    };
    if waits.len() > MAX_WAITS {
        let why = format!("The retrySchedule has more than {MAX_WAITS} waits.");
        return Err(Fault::rule("retrySchedule", why));
    }
    let waits = waits.iter().enumerate().map(read);
    waits.collect::<Result<_, _>>().map(Schedule)
}

fn rate_limit(object: &Object) -> Result<RateLimit, Fault> {
    let count = object.get("count").and_then(Value::as_i64);
    let count = count.filter(|count| (1..=MAX_RATE).contains(count));
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or_else(|| {
        let why = format!("The rateLimit.count must be 1 to {MAX_RATE}.");
        Fault::rule("rateLimit.count", why)
    })?;
    let per = object.get("per").and_then(Value::as_str);
    let per = per
        .and_then(Per::from_name)
        .ok_or_else(|| Fault::required("rateLimit.per"))?;
    Ok(RateLimit { count, per })
}

#[cfg(test)]
mod tests;
