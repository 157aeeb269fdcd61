//! The binary form of rows of the delivery log.
//!
//! A row has the heads of its calls, which filters read, and their details, which are compressed together. Numbers are
//! little-endian. Texts and headers have their length before them.

use std::time::Duration;

use prichal_core::{
    event::{ChangeType, Entities, Entity, EntityKind, EventHead, EventType, custom::CustomHead},
    id::EventId,
    time::Timestamp,
};
use uuid::Uuid;

use super::{Attempt, Exchange, Timings};
use crate::{Error, Result};

/// The format of the heads. The first byte of each row.
const FORMAT: u8 = 1;
/// The maximum bytes of the answer that is kept of a call that succeeded.
const MAX_SUCCESS_ANSWER: usize = 1024;
/// The value of a text or a time that is absent.
const ABSENT: u32 = u32::MAX;
/// The code of calls about no event of the log.
const NO_EVENT: u8 = u8::MAX;
/// The mark of a call that was made on request.
const REPLAY: u8 = 1;

/// A row before it is written.
#[derive(Default)]
pub(super) struct Packed {
    pub(super) seqs: (i64, i64),
    pub(super) types: i64,
    pub(super) entities: i64,
    pub(super) statuses: i64,
    pub(super) heads: Vec<u8>,
    pub(super) details: Vec<u8>,
}

/// The head of a call: what filters read.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) event: EventId,
    pub(super) seq: i64,
    pub(super) about: Option<EventHead>,
    pub(super) attempt: i64,
    pub(super) http_status: Option<i64>,
    pub(super) duration_ms: i64,
    pub(super) started_at: Timestamp,
    pub(super) is_replay: bool,
}

/// The bit of an event's type in a row.
pub(super) fn type_bit(kind: EventType) -> i64 {
    1 << type_code(kind)
}

/// The bit of a kind of entities in a row, beside those of types.
pub(super) fn kind_bit(kind: EntityKind) -> i64 {
    1 << (8 + kind as u32)
}

/// The bit of an entity in a row. Others may have the same.
pub(super) fn entity_bit(entity: Uuid) -> i64 {
    1 << (entity.as_u128() % 62)
}

/// The bit of an HTTP status in a row. Others may have the same.
pub(super) fn status_bit(status: Option<i64>) -> i64 {
    status.map_or(1, |status| 1 << (1 + status.rem_euclid(61)))
}

fn type_code(kind: EventType) -> u8 {
    match kind {
        EventType::Change(change) => change as u8,
        EventType::Link => 4,
        EventType::Unlink => 5,
        EventType::Custom => 6,
    }
}

fn type_of(code: u8) -> Option<EventType> {
    match code {
        4 => Some(EventType::Link),
        5 => Some(EventType::Unlink),
        6 => Some(EventType::Custom),
        code => ChangeType::ALL
            .get(usize::from(code))
            .map(|change| EventType::Change(*change)),
    }
}

/// Packs calls of one webhook.
pub(super) fn pack<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Packed {
    let mut packed = Packed {
        seqs: (i64::MAX, i64::MIN),
        heads: vec![FORMAT],
        ..Packed::default()
    };
    let mut details = Vec::new();
    for attempt in attempts {
        packed.seqs.0 = packed.seqs.0.min(attempt.seq);
        packed.seqs.1 = packed.seqs.1.max(attempt.seq);
        packed.statuses |= status_bit(attempt.http_status);
        if let Some(about) = &attempt.about {
            packed.types |= type_bit(about.kind);
            for (kind, id) in about.entities.iter() {
                packed.types |= kind_bit(*kind);
                packed.entities |= entity_bit(*id);
            }
        }
        put_head(&mut packed.heads, attempt);
        put_detail(&mut details, attempt);
    }
    packed.details = lz4_flex::block::compress_prepend_size(&details);
    packed
}

fn put_head(out: &mut Vec<u8>, attempt: &Attempt) {
    let short = |number: i64| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
    out.extend_from_slice(attempt.event.0.as_bytes());
    out.extend_from_slice(&attempt.seq.to_le_bytes());
    out.extend_from_slice(&attempt.started_at.micros().to_le_bytes());
    let duration = u32::try_from(attempt.duration_ms).unwrap_or(u32::MAX);
    out.extend_from_slice(&duration.to_le_bytes());
    out.extend_from_slice(&short(attempt.attempt));
    out.extend_from_slice(&short(attempt.http_status.unwrap_or(0)));
    out.push(if attempt.is_replay { REPLAY } else { 0 });
    let Some(about) = &attempt.about else {
        out.push(NO_EVENT);
        return;
    };
    out.push(type_code(about.kind));
    out.push(u8::try_from(about.entities.len()).unwrap_or(1));
    for (kind, id) in about.entities.iter() {
        out.push(*kind as u8);
        out.extend_from_slice(id.as_bytes());
    }
    if let Some(custom) = &about.custom {
        put(out, Some(custom.name.as_bytes()));
        put(out, custom.entity.as_deref().map(str::as_bytes));
    }
}

fn put_detail(out: &mut Vec<u8>, attempt: &Attempt) {
    let is_success = attempt.status == super::STATUSES[0];
    let answer = attempt.answer.as_deref().map(|answer| {
        let end = answer.floor_char_boundary(MAX_SUCCESS_ANSWER);
        if is_success { &answer[..end] } else { answer }
    });
    let Exchange {
        sent,
        body,
        received,
        timings,
    } = &attempt.exchange;
    put(out, attempt.error.as_deref().map(str::as_bytes));
    put(out, answer.map(str::as_bytes));
    put(out, Some(sent));
    put(out, body.as_deref());
    put(out, Some(received));
    for time in timings.all() {
        let micros = time.map_or(ABSENT, |time| {
            u32::try_from(time.as_micros()).unwrap_or(ABSENT - 1)
        });
        out.extend_from_slice(&micros.to_le_bytes());
    }
}

fn put(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let length = bytes.map_or(ABSENT, |bytes| u32::try_from(bytes.len()).unwrap_or(0));
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// Reads the heads of a row.
pub(super) fn heads(bytes: &[u8]) -> Result<impl Iterator<Item = Result<Head>>> {
    let (FORMAT, rest) = bytes
        .split_first()
        .map_or((0, bytes), |(n, rest)| (*n, rest))
    else {
        return Err(damaged());
    };
    let mut from = Reader(rest);
    Ok(std::iter::from_fn(move || {
        (!from.0.is_empty()).then(|| from.head())
    }))
}

/// The detail of a call.
#[derive(Default)]
pub(super) struct Detail {
    pub(super) error: Option<String>,
    pub(super) answer: Option<String>,
    pub(super) exchange: Exchange,
}

/// Reads the details of a row.
pub(super) fn details(bytes: &[u8]) -> Result<Vec<Detail>> {
    let plain = lz4_flex::block::decompress_size_prepended(bytes).map_err(Error::corrupt)?;
    let mut from = Reader(&plain);
    let mut found = Vec::new();
    while !from.0.is_empty() {
        found.push(from.detail()?);
    }
    Ok(found)
}

fn damaged() -> Error {
    Error::corrupt("a row of the delivery log is damaged")
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn head(&mut self) -> Result<Head> {
        let event = EventId(Uuid::from_bytes(self.array()?));
        let seq = i64::from_le_bytes(self.array()?);
        let started_at = Timestamp::from_micros(i64::from_le_bytes(self.array()?));
        let duration_ms = i64::from(u32::from_le_bytes(self.array()?));
        let attempt = i64::from(u16::from_le_bytes(self.array()?));
        let http_status = i64::from(u16::from_le_bytes(self.array()?));
        let flags = self.byte()?;
        Ok(Head {
            event,
            seq,
            attempt,
            http_status: (http_status != 0).then_some(http_status),
            duration_ms,
            started_at,
            is_replay: flags & REPLAY != 0,
            about: self.about()?,
        })
    }

    fn about(&mut self) -> Result<Option<EventHead>> {
        let code = self.byte()?;
        if code == NO_EVENT {
            return Ok(None);
        }
        let kind = type_of(code).ok_or_else(damaged)?;
        let entities = match self.byte()? {
            1 => Entities::one(self.entity()?),
            2 => Entities::two(self.entity()?, self.entity()?),
            _ => return Err(damaged()),
        };
        let mut head = EventHead::new(kind, entities);
        if kind == EventType::Custom {
            let name = self.text()?.ok_or_else(damaged)?;
            let entity = self.text()?;
            head.custom = Some(Box::new(CustomHead { name, entity }));
        }
        Ok(Some(head))
    }

    fn entity(&mut self) -> Result<Entity> {
        let code = self.byte()?;
        let kind = EntityKind::ALL.get(usize::from(code)).copied();
        let own = (code == EntityKind::Custom as u8).then_some(EntityKind::Custom);
        let kind = kind.or(own).ok_or_else(damaged)?;
        Ok((kind, Uuid::from_bytes(self.array()?)))
    }

    fn bytes(&mut self) -> Result<Option<Vec<u8>>> {
        let length = u32::from_le_bytes(self.array()?);
        if length == ABSENT {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(Error::corrupt)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(Some(bytes.to_vec()))
    }

    fn text(&mut self) -> Result<Option<String>> {
        let bytes = self.bytes()?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn time(&mut self) -> Result<Option<Duration>> {
        let micros = u32::from_le_bytes(self.array()?);
        Ok((micros != ABSENT).then(|| Duration::from_micros(micros.into())))
    }

    fn detail(&mut self) -> Result<Detail> {
        Ok(Detail {
            error: self.text()?,
            answer: self.text()?,
            exchange: Exchange {
                sent: self.bytes()?.unwrap_or_default(),
                body: self.bytes()?,
                received: self.bytes()?.unwrap_or_default(),
                timings: Timings {
                    resolve: self.time()?,
                    connect: self.time()?,
                    tls: self.time()?,
                    first_byte: self.time()?,
                },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::id::{WebhookId, generate};

    use super::*;

    fn attempt(n: i64) -> Attempt {
        let now = Timestamp::from_micros(1_700_000_000_000_000 + n);
        let one = (EntityKind::Company, generate(now));
        let entities = if n % 2 == 0 {
            Entities::one(one)
        } else {
            Entities::two(one, (EntityKind::Svcscript, generate(now)))
        };
        let kind = if n % 2 == 0 {
            EventType::Change(ChangeType::Restore)
        } else {
            EventType::Link
        };
        Attempt {
            id: generate(now),
            webhook: WebhookId::generate(now),
            event: EventId::generate(now),
            seq: n,
            about: (n % 3 != 0).then_some(EventHead::new(kind, entities)),
            attempt: n + 1,
            status: "delivered",
            http_status: (n % 4 != 0).then_some(200 + n),
            duration_ms: 7 * n,
            error: (n % 5 == 0).then(|| "why".to_owned()),
            answer: (n % 2 == 0).then(|| "ответ".repeat(100)),
            started_at: now,
            is_replay: n % 7 == 0,
            exchange: Exchange {
                sent: b"webhook-id: 1\n".to_vec(),
                body: (n % 6 == 0).then(|| b"{}".to_vec()),
                received: vec![0xff, b':'],
                timings: Timings {
                    resolve: None,
                    connect: Some(Duration::from_micros(n.unsigned_abs())),
                    tls: None,
                    first_byte: Some(Duration::from_secs(9)),
                },
            },
        }
    }

    fn read_heads(bytes: &[u8]) -> Result<Vec<Head>> {
        heads(bytes)?.collect()
    }

    #[test]
    fn calls_come_out_as_they_went_in() {
        let all: Vec<Attempt> = (0..40).map(attempt).collect();
        let packed = pack(all.iter());
        assert_eq!(packed.seqs, (0, 39));
        let heads = read_heads(&packed.heads).expect("the heads");
        let details = details(&packed.details).expect("the details");
        assert_eq!((heads.len(), details.len()), (40, 40));
        for ((one, head), detail) in all.iter().zip(&heads).zip(&details) {
            assert_eq!(
                (head.event, head.seq, head.about.clone()),
                (one.event, one.seq, one.about.clone())
            );
            assert_eq!(
                (head.attempt, head.http_status),
                (one.attempt, one.http_status)
            );
            assert_eq!(
                (head.duration_ms, head.started_at),
                (one.duration_ms, one.started_at)
            );
            assert_eq!((head.is_replay, &detail.error), (one.is_replay, &one.error));
            let kept = one
                .answer
                .as_deref()
                .map(|answer| &answer[..answer.len().min(1024)]);
            assert_eq!(detail.answer.as_deref().map(str::len), kept.map(str::len));
            assert_eq!(detail.exchange, one.exchange);
            assert_ne!(packed.statuses & status_bit(one.http_status), 0);
            for (kind, id) in one.about.iter().flat_map(|about| about.entities.iter()) {
                assert_ne!(packed.types & kind_bit(*kind), 0);
                assert_ne!(packed.entities & entity_bit(*id), 0);
            }
        }
    }

    #[test]
    fn damaged_rows_are_refused() {
        let packed = pack([attempt(1), attempt(2)].iter());
        for end in 1..packed.heads.len() {
            // A cut between two heads is a shorter row.
            let found = read_heads(&packed.heads[..end]).map(|heads| heads.len());
            assert!(
                found.is_err() || found.is_ok_and(|count| count < 2),
                "{end}"
            );
        }
        assert!(read_heads(&[]).is_err());
        assert!(read_heads(&[FORMAT + 1]).is_err());
        for end in 0..packed.details.len() {
            assert!(details(&packed.details[..end]).is_err(), "{end}");
        }
    }
}
