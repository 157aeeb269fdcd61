//! Rights: the members of entities that grant them, and the changes that administrators alone may make.

use serde_json::Value;

use crate::{
    event::{Entity, EntityKind},
    schema::Object,
};

/// The rights of the author of a change; a member's by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authority {
    Admin,
    #[default]
    Member,
}

/// Members of a user that grant rights or name the certificate's owner.
const OF_USERS: [&str; 4] = ["isAdmin", "permissions", "accessRights", "iin"];

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// True if an entity grants rights: a role, or a user with any.
pub fn grants(kind: EntityKind, members: &Object) -> bool {
    let given = |name: &&str| members.get(*name).is_some_and(|value| !is_blank(value));
    match kind {
        EntityKind::Role => true,
        EntityKind::User => OF_USERS.iter().any(given),
        _ => false,
    }
}

/// True if a change from some members to others changes rights.
pub fn changes(kind: EntityKind, before: &Object, after: &Object) -> bool {
    let differs = |name: &&str| before.get(*name) != after.get(*name);
    match kind {
        EntityKind::Role => before != after,
        EntityKind::User => OF_USERS.iter().any(differs),
        _ => false,
    }
}

/// True if a patch at this path is about rights, even if it changes nothing.
pub fn addresses(kind: EntityKind, path: &str) -> bool {
    let member = path.trim_start_matches('/').split('/').next();
    let is_meant = |name: &&str| member.is_some_and(|member| member.eq_ignore_ascii_case(name));
    match kind {
        EntityKind::Role => true,
        EntityKind::User => OF_USERS.iter().any(is_meant),
        _ => false,
    }
}

/// True if a link between these entities grants rights.
pub fn link_grants(ends: [Entity; 2]) -> bool {
    ends.iter().any(|(kind, _)| *kind == EntityKind::Role)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn users_and_roles_grant_rights_and_nothing_else_does() {
        for (kind, members, expected) in [
            (EntityKind::Role, json!({}), true),
            (EntityKind::User, json!({}), false),
            (
                EntityKind::User,
                json!({ "login": "x", "status": "active", "isAdmin": false, "permissions": [], "iin": null }),
                false,
            ),
            (EntityKind::User, json!({ "isAdmin": true }), true),
            (
                EntityKind::User,
                json!({ "permissions": ["DOCUMENT_VIEW"] }),
                true,
            ),
            (
                EntityKind::User,
                json!({ "accessRights": [{ "id": "a", "level": 1 }] }),
                true,
            ),
            (EntityKind::User, json!({ "iin": "061211600012" }), true),
            (EntityKind::Contact, json!({ "isAdmin": true }), false),
        ] {
            assert_eq!(
                grants(kind, &object(&members)),
                expected,
                "{kind:?} {members}"
            );
        }
    }

    #[test]
    fn patches_of_rights_are_recognized_by_their_paths() {
        for (path, expected) in [
            ("/isAdmin", true),
            ("ISADMIN", true),
            ("//permissions/0", true),
            ("/AccessRights/a/level", true),
            ("/iin", true),
            ("/login", false),
            ("/settings/isAdmin", false),
            ("/", false),
        ] {
            assert_eq!(addresses(EntityKind::User, path), expected, "{path}");
            assert!(addresses(EntityKind::Role, path));
            assert!(!addresses(EntityKind::Task, path));
        }
    }

    #[test]
    fn changes_of_rights_are_distinguished_from_other_changes() {
        let user = json!({ "login": "x", "isAdmin": false, "permissions": ["DOCUMENT_VIEW"] });
        for (more, expected) in [
            (json!({ "login": "y" }), false),
            (json!({ "position": "head" }), false),
            (json!({ "permissions": ["DOCUMENT_VIEW"] }), false),
            (json!({ "permissions": [] }), true),
            (json!({ "isAdmin": true }), true),
            (json!({ "iin": "1" }), true),
        ] {
            let mut after = user.clone();
            for (name, value) in more.as_object().unwrap() {
                after[name] = value.clone();
            }
            let (before, after) = (object(&user), object(&after));
            assert_eq!(
                changes(EntityKind::User, &before, &after),
                expected,
                "{more}"
            );
            assert!(!changes(EntityKind::Company, &before, &after));
        }
        let (before, after) = (
            object(&json!({ "name": "a" })),
            object(&json!({ "name": "b" })),
        );
        assert!(changes(EntityKind::Role, &before, &after));
        assert!(!changes(EntityKind::Role, &before, &before));
    }
}
