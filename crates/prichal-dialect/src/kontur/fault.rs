//! The texts of faults, in the form of .NET's readers and validators (`docs/contracts/kontur.md §2`), and ours
//! beside them.

use std::fmt::Write;

use prichal_core::schema::{Fault, Mismatch, Problem, TypeName};

use crate::fault;

/// The maximum number of faults that one text repeats.
pub(super) const MAX_REPEATED: usize = 5;

/// The text of a fault.
pub fn text(fault: &Fault) -> String {
    match &fault.problem {
        Problem::Mismatch(mismatch) => conversion(&fault.path, mismatch),
        _ => fault::text(fault),
    }
}

/// Our own texts of the values that cannot be read: the vendor's name a type, and not its values.
pub fn detail(faults: &[Fault]) -> Option<String> {
    let wrong = faults.iter().filter_map(|fault| match &fault.problem {
        Problem::Mismatch(mismatch) => Some(fault::wrong_value(&fault.path, mismatch)),
        _ => None,
    });
    let texts: Vec<String> = wrong.take(MAX_REPEATED).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

fn conversion(path: &str, mismatch: &Mismatch) -> String {
    let Mismatch {
        given,
        expected,
        end,
        ..
    } = mismatch;
    let expected = type_name(*expected);
    let mut text = format!("Error converting value {given} to type '{expected}'. Path '{path}'");
    if let Some((line, position)) = end {
        // Writing into a `String` cannot fail.
        let _ = write!(text, ", line {line}, position {position}.");
    }
    text
}

fn type_name(expected: TypeName) -> String {
    let name = match expected {
        TypeName::Text => "System.String",
        TypeName::Bool => "System.Boolean",
        TypeName::Int => "System.Int64",
        TypeName::Number => "System.Decimal",
        TypeName::Guid => "System.Guid",
        TypeName::Moment => "System.DateTimeOffset",
        TypeName::TimeSpan => "System.TimeSpan",
        TypeName::Enum(words) => {
            return format!("Xcom.Api.Models.{}", enumeration(words.name));
        }
        TypeName::Object => "System.Object",
        TypeName::List => "System.Array",
    };
    name.to_owned()
}

/// The vendor's name of an enumeration; our own for one that the vendor does not have.
fn enumeration(name: &'static str) -> &'static str {
    match name {
        "callDirection" => "Communications.CommunicationDirection",
        "callEventType" => "Communications.CallEventType",
        "callPartyType" => "Communications.CallParticipantType",
        "changeType" => "Events.ChangeType",
        "customFieldType" => "CustomFields.CustomFieldType",
        "entityType" => "Events.EntityType",
        "eventType" => "Events.EventType",
        "operation" => "OperationType",
        "permission" => "Users.Permission",
        "phoneRegion" => "Settings.PhoneRegion",
        "role" => "Role",
        "userStatus" => "Users.UserStatus",
        "webhookTrigger" => "Integrations.WebHookTriggerType",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        entity::{self, Defaults},
        event::EntityKind,
        schema::{self, Field, Type, Words},
        time::Timestamp,
    };
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    static REGION: Words = Words {
        name: "phoneRegion",
        words: &["red", "darkBlue"],
    };
    const INNER: &[Field] = &[Field::new("deep", Type::Bool).required()];
    const FIELDS: &[Field] = &[
        Field::new("name", Type::Text),
        Field::new("owner", Type::Guid),
        Field::new("colour", Type::Enum(&REGION)),
        Field::new("inner", Type::Object(INNER)),
        Field::new("tags", Type::Texts),
    ];

    fn message(value: &Value) -> String {
        let object = value.as_object().unwrap();
        text(&schema::read(FIELDS, object, &mut Uuid::nil).unwrap_err()[0])
    }

    #[test]
    fn messages_are_the_vendors() {
        assert_eq!(
            message(&json!({"colour": "x"})),
            "Error converting value \"x\" to type 'Xcom.Api.Models.Settings.PhoneRegion'. Path 'colour'"
        );
        assert_eq!(
            message(&json!({"name": {}})),
            "Error converting value {…} to type 'System.String'. Path 'name'"
        );
        assert_eq!(
            message(&json!({"inner": {}})),
            "The inner.deep field is required."
        );
        assert!(message(&json!({"owner": "x".repeat(1000)})).len() < 250);
        assert_eq!(
            message(&json!({"tags": vec!["x"; 1001]})),
            "The tags field is invalid: more than 1000 elements."
        );
        let defaults = Defaults {
            region: "02",
            now: Timestamp::default(),
        };
        let body = json!({"login": ""});
        let body = body.as_object().unwrap();
        let faults = entity::create(EntityKind::User, body, defaults, &mut Uuid::nil).unwrap_err();
        assert_eq!(text(&faults[0]), "The login field is required.");
    }
}
