//! Channels: points at which outside systems dock (`reference/era.md` §2, §4, §13).
//!
//! A channel is kept as its members: the entity without its id, its tokens and its times.

mod query;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    id,
    schema::{self, Fault, Field, Object, Preset, Type, member},
    time::Timestamp,
};

pub use query::{Selection, Shape};

/// The longest run of a receiving script, in seconds.
const MAX_TIMEOUT: i64 = 60;

const FIELDS: &[Field] = &[
    Field::new("code", Type::Text).required(),
    Field::new("type", Type::Text).required(),
    text("url"),
    text("recv_svcscriptcode"),
    text("recv_svcscriptcode_ws"),
    text("send_svcscriptcode"),
    text("send_svcscriptcode_ws"),
    Field::new("opts", Type::Object(OPTS)).or(Preset::Object),
    Field::new("ext", Type::Free).or(Preset::Object),
];

/// The four that are always there, and those that are there once set.
const OPTS: &[Field] = &[
    text("title"),
    text("comment"),
    Field::new("allow_files_api", Type::Bool).or(Preset::False),
    Field::new("issync", Type::Bool).or(Preset::False),
    Field::new("recv_timeout", Type::Int),
    Field::new("roles", Type::Texts),
    Field::new("userid", Type::Guid),
    Field::new("ip_mask", Type::Texts),
    Field::new("filter_capabilities", Type::Texts),
];

const REMOTE: &[Field] = &[text("token_remote"), text("token_remote2")];

const fn text(name: &'static str) -> Field {
    Field::new(name, Type::Text).or(Preset::Text(""))
}

/// The tokens of a channel: ours, and those of the outside system.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tokens {
    pub local: String,
    pub remote: String,
    pub remote2: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub id: Uuid,
    pub tokens: Tokens,
    pub members: Object,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Channel {
    /// Reads the entity of a POST. What the server makes itself is ignored there, so that an entity
    /// that was read can be sent as it is.
    pub fn read(
        body: &Object,
        id: Uuid,
        token: String,
        now: Timestamp,
    ) -> Result<Self, Vec<Fault>> {
        let given = member(body, "id").filter(|value| !value.is_null());
        let id = match given {
            None => id,
            Some(value) => value
                .as_str()
                .and_then(id::parse)
                .ok_or_else(|| vec![Fault::conversion("id", value, Type::Guid)])?,
        };
        let (members, remote, remote2) = read_all(body)?;
        Ok(Self {
            id,
            tokens: Tokens {
                local: token,
                remote,
                remote2,
            },
            members,
            created_at: now,
            updated_at: now,
        })
    }

    /// The channel after a PATCH: `opts` and `ext` are merged key by key, all else is replaced. The time
    /// of change is the caller's to set.
    pub fn patched(&self, body: &Object) -> Result<Self, Vec<Fault>> {
        let fixed = [
            ("id", self.id.to_string()),
            ("token_local", self.tokens.local.clone()),
        ];
        for (name, value) in fixed {
            let given = member(body, name).filter(|given| !given.is_null());
            if given.is_some_and(|given| !is_same(given, &value)) {
                return Err(vec![Fault::rule(
                    name,
                    format!("The {name} cannot be changed."),
                )]);
            }
        }
        let mut whole = self.members.clone();
        whole.insert("token_remote".into(), self.tokens.remote.clone().into());
        whole.insert("token_remote2".into(), self.tokens.remote2.clone().into());
        for (name, value) in body {
            let known = whole.get_mut(name.as_str());
            match (known, value) {
                (Some(Value::Object(known)), Value::Object(given)) => {
                    for (key, value) in given {
                        known.insert(key.clone(), value.clone());
                    }
                }
                _ => {
                    whole.insert(name.clone(), value.clone());
                }
            }
        }
        let (members, remote, remote2) = read_all(&whole)?;
        Ok(Self {
            tokens: Tokens {
                local: self.tokens.local.clone(),
                remote,
                remote2,
            },
            members,
            ..self.clone()
        })
    }

    /// The user whose rights the channel has.
    pub fn user(&self) -> Option<Uuid> {
        self.members
            .get("opts")?
            .get("userid")?
            .as_str()
            .and_then(id::parse)
    }

    pub fn code(&self) -> &str {
        self.members
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The entity, its members in the order of the vendor's examples.
    pub fn entity(&self) -> Object {
        self.with_tokens(&self.tokens)
    }

    /// The snapshot for the feed: the id first, without the tokens.
    pub fn snapshot(&self) -> String {
        let masked = |token: &str| {
            if token.is_empty() {
                String::new()
            } else {
                "***".to_owned()
            }
        };
        let mut entity = self.with_tokens(&Tokens {
            local: masked(&self.tokens.local),
            remote: masked(&self.tokens.remote),
            remote2: masked(&self.tokens.remote2),
        });
        if let Some(Value::Object(ext)) = entity.get_mut("ext") {
            // A snapshot has no times of its own (`reference/kontur.md` §5).
            ext.retain(|name, _| name != "ct" && name != "lwt");
        }
        Value::Object(entity).to_string()
    }

    fn with_tokens(&self, tokens: &Tokens) -> Object {
        let mut out = Map::new();
        out.insert("id".into(), self.id.to_string().into());
        let mut copy = |name: &str| {
            out.insert(
                name.into(),
                self.members.get(name).cloned().unwrap_or_default(),
            );
        };
        copy("code");
        copy("type");
        for (name, token) in [
            ("token_local", &tokens.local),
            ("token_remote", &tokens.remote),
            ("token_remote2", &tokens.remote2),
        ] {
            out.insert(name.into(), token.as_str().into());
        }
        for field in &FIELDS[2..8] {
            let value = self.members.get(field.name).cloned().unwrap_or_default();
            out.insert(field.name.into(), value);
        }
        let mut ext = Map::new();
        ext.insert("ct".into(), self.created_at.to_centiseconds().into());
        ext.insert("lwt".into(), self.updated_at.to_centiseconds().into());
        if let Some(Value::Object(more)) = self.members.get("ext") {
            ext.extend(more.clone());
        }
        out.insert("ext".into(), Value::Object(ext));
        out
    }
}

/// Whether a value is the one that is kept; ids are compared in either case.
fn is_same(given: &Value, kept: &str) -> bool {
    given
        .as_str()
        .is_some_and(|given| given.eq_ignore_ascii_case(kept))
}

/// The members, and the two remote tokens.
fn read_all(body: &Object) -> Result<(Object, String, String), Vec<Fault>> {
    refuse_unknown("", body, &["id", "token_local"], &[FIELDS, REMOTE])?;
    if let Some(Value::Object(opts)) = member(body, "opts") {
        refuse_unknown("opts.", opts, &[], &[OPTS])?;
    }
    let mut none = Uuid::nil;
    let members = schema::read(FIELDS, body, &mut none)?;
    let mut members = schema::complete(FIELDS, members);
    let remote = schema::complete(REMOTE, schema::read(REMOTE, body, &mut none)?);
    if let Some(Value::Object(ext)) = members.get_mut("ext") {
        ext.retain(|name, _| name != "ct" && name != "lwt");
    }
    check(&members)?;
    let token = |name: &str| remote[name].as_str().unwrap_or_default().to_owned();
    Ok((members, token("token_remote"), token("token_remote2")))
}

fn refuse_unknown(
    prefix: &str,
    body: &Object,
    more: &[&str],
    fields: &[&[Field]],
) -> Result<(), Vec<Fault>> {
    let is_known = |name: &str| {
        let mut names = fields
            .iter()
            .flat_map(|fields| fields.iter())
            .map(|field| field.name);
        names.any(|known| known == name) || more.contains(&name)
    };
    let unknown = body.keys().filter(|name| !is_known(name));
    let faults: Vec<Fault> = unknown
        .take(20)
        .map(|name| {
            let shown: String = name.chars().take(64).collect();
            let path = format!("{prefix}{shown}");
            Fault::rule(path.as_str(), format!("There is no field {path}."))
        })
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn check(members: &Object) -> Result<(), Vec<Fault>> {
    let fault = |path: &str, why: &str| Err(vec![Fault::rule(path, format!("The {path} {why}."))]);
    for name in ["code", "type"] {
        let length = members[name]
            .as_str()
            .map_or(0, |text| text.chars().count());
        if length > 128 {
            return fault(name, "is longer than 128 characters");
        }
    }
    let opts = &members["opts"];
    if let Some(timeout) = opts["recv_timeout"].as_i64()
        && !(0..=MAX_TIMEOUT).contains(&timeout)
    {
        return fault("opts.recv_timeout", "must be 0 to 60 seconds");
    }
    let masks = opts["ip_mask"].as_array();
    if masks
        .into_iter()
        .flatten()
        .any(|mask| !mask.as_str().is_some_and(is_network))
    {
        return fault(
            "opts.ip_mask",
            "must be a list of addresses and networks, such as 10.0.0.0/8",
        );
    }
    Ok(())
}

/// Whether a text is an address, or a network in CIDR notation.
pub fn is_network(text: &str) -> bool {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<std::net::IpAddr>() else {
        return false;
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}

#[cfg(test)]
mod tests;
