use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
const NOW: &str = "2022-03-22T10:38:35.615279+00:00";

fn ids() -> impl FnMut() -> Uuid {
    let mut n = 100;
    move || {
        n += 1;
        Uuid::from_u128(n)
    }
}

fn try_create(kind: EntityKind, body: &Value) -> Result<Draft, Vec<Fault>> {
    let defaults = Defaults {
        region: "02",
        now: Timestamp::parse(NOW).unwrap(),
    };
    create(kind, body.as_object().unwrap(), defaults, &mut ids())
}

fn created(kind: EntityKind, body: &Value) -> Draft {
    try_create(kind, body).unwrap()
}

fn try_patch(kind: EntityKind, draft: &Draft, operations: &Value) -> Result<Patched, PatchErrors> {
    let operations = patch::parse(&json!({"operations": operations})).unwrap();
    let links: Vec<Uuid> = draft.links.iter().flatten().map(|(_, id)| *id).collect();
    patch(kind, &draft.members, &links, &operations, &mut ids())
}

fn text(object: &Object) -> String {
    to_text(object).unwrap()
}

#[test]
fn an_empty_body_is_enough_for_all_but_users() {
    let nil = Uuid::nil().to_string();
    let channels = json!({"messengerContacts": [], "phones": [], "emails": [], "customFields": {}, "tags": []});
    for (kind, expected) in [
        (EntityKind::Group, json!({"customFields": {}})),
        (
            EntityKind::Role,
            json!({"accessRights": [], "customFields": {}}),
        ),
        (EntityKind::Company, channels.clone()),
        (EntityKind::Contact, channels),
        (
            EntityKind::Deal,
            json!({"assignedToGroupId": nil, "stageId": 0, "customFields": {}}),
        ),
        (
            EntityKind::Task,
            json!({
                "typeId": nil, "contactIds": [], "isCompleted": false, "supervisors": [], "assignedToGroupId": nil,
                "attachmentFileIds": [], "sendToExternalChannels": false, "customFields": {},
            }),
        ),
        (EntityKind::Notification, json!({"customFields": {}})),
        (EntityKind::CatalogItem, json!({"customFields": {}})),
    ] {
        let draft = created(kind, &json!({}));
        assert_eq!(text(&draft.members), expected.to_string(), "{kind:?}");
        assert_eq!(draft.links, None);
    }
    let faults = try_create(EntityKind::User, &json!({"login": ""})).unwrap_err();
    assert_eq!(faults[0], Fault::required("login"));
}

#[test]
fn a_contact_with_links_and_phones() {
    let company = Uuid::from_u128(5);
    let body = json!({
        "name": "Ivan", "position": "head", "regionCode": "66", "unknown": 1,
        "phones": [{"id": Uuid::nil(), "type": "work", "value": "89991112233"}, {"value": "1"}],
        "links": {"companyIds": [company, company.to_string().to_uppercase()]},
    });
    let draft = created(EntityKind::Contact, &body);
    assert_eq!(draft.links, Some(vec![(EntityKind::Company, company)]));
    let expected = json!({
        "position": "head", "name": "Ivan", "messengerContacts": [],
        "phones": [
            {"id": Uuid::from_u128(101), "type": "work", "value": "89991112233"},
            {"id": Uuid::from_u128(102), "type": "unknown", "value": "1"},
        ],
        "emails": [], "regionCode": "66", "customFields": {}, "tags": [],
    });
    assert_eq!(text(&draft.members), expected.to_string());
}

#[test]
fn a_user_as_documented() {
    let draft = created(
        EntityKind::User,
        &json!({"login": "i@x.ru", "firstName": "Ivan", "middleName": "Ivanovich", "lastName": "Ivanov", "isAuthorized": true}),
    );
    let web_only = json!({"webAppEnabled": true, "emailEnabled": false, "telegramEnabled": false, "webAppEnabledAt": NOW});
    let expected = json!({
        "groupId": Uuid::nil(), "name": "Ivanov Ivan Ivanovich", "login": "i@x.ru", "firstName": "Ivan",
        "middleName": "Ivanovich", "lastName": "Ivanov", "isAdmin": false, "isHidden": false, "isAuthorized": false,
        "status": "inactive",
        "settings": {"regionCode": "02", "notifications": {
            "channels": {"webAppEnabled": true, "webAppEnabledAt": NOW},
            "types": [
                {"id": "hotDeals", "channels": web_only, "schedule": {}},
                {"id": "task", "channels": web_only, "schedule": {}},
                {"id": "currentTasks", "channels": web_only, "schedule": {"time": "09:00:00", "skipHolidays": true}},
            ],
        }},
        "customFields": {}, "accessRights": [], "permissions": [],
    });
    assert_eq!(text(&draft.members), expected.to_string());
}

fn employee(members: &Object) -> Employee {
    Employee::read(&serde_json::to_string(members).unwrap()).unwrap()
}

#[test]
fn names_and_permissions_of_users() {
    let name = |body: Value| created(EntityKind::User, &body).members["name"].clone();
    assert_eq!(name(json!({"login": "l", "name": "Given"})), "Given");
    assert_eq!(
        name(json!({"login": "l", "name": "Given", "lastName": " Last "})),
        "Last"
    );
    assert_eq!(name(json!({"login": "l"})), "l");
    let user = created(
        EntityKind::User,
        &json!({"login": "l", "firstName": "A", "lastName": "B", "settings": {"regionCode": "77"}}),
    );
    assert_eq!(user.members["settings"]["regionCode"], "77");
    let patched = try_patch(
        EntityKind::User,
        &user,
        &json!([{"op": "replace", "path": "/lastname", "value": "C"}]),
    )
    .unwrap();
    assert_eq!(patched.members["name"], "C A");
    assert!(
        try_patch(
            EntityKind::User,
            &user,
            &json!([{"op": "replace", "path": "/name", "value": "C"}])
        )
        .is_err()
    );

    let admin = created(EntityKind::User, &json!({"login": "l", "isAdmin": true}));
    assert!(
        PERMISSIONS
            .iter()
            .all(|permission| employee(&admin.members).may(permission))
    );
    let signer = created(
        EntityKind::User,
        &json!({"login": "l", "isAdmin": true, "permissions": ["document_sign"]}),
    );
    assert!(employee(&signer.members).may("DOCUMENT_SIGN"));
    assert!(!employee(&signer.members).may("DOCUMENT_VIEW"));
    assert!(!employee(&user.members).may("DOCUMENT_VIEW"));
    let faults = try_create(
        EntityKind::User,
        &json!({"login": "l", "permissions": ["ALL"]}),
    )
    .unwrap_err();
    assert_eq!(faults[0].path, "permissions[0]");
}

#[test]
fn links_in_a_patch() {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let draft = created(
        EntityKind::Company,
        &json!({"name": "c", "links": {"contactIds": [one]}}),
    );
    let links = |operations: Value| try_patch(EntityKind::Company, &draft, &operations).unwrap();
    let added = links(json!([{"op": "add", "path": "/links/contactIds", "value": two}]));
    assert_eq!(
        added.links,
        Some(vec![(EntityKind::Contact, one), (EntityKind::Contact, two)])
    );
    assert!(!added.changed, "the company itself is as before");
    let removed = links(json!([{"op": "remove", "path": format!("/links/contactIds/{one}")}]));
    assert_eq!(removed.links, Some(vec![]));
    let same = links(json!([{"op": "replace", "path": "/links", "value": {"contactIds": [one]}}]));
    assert_eq!((same.links, same.changed), (None, false));
    let renamed = links(json!([{"op": "replace", "path": "/name", "value": "d"}]));
    assert_eq!((renamed.links, renamed.changed), (None, true));
    let foreign = json!([{"op": "add", "path": "/links/companyIds", "value": two}]);
    assert!(try_patch(EntityKind::Company, &draft, &foreign).is_err());
}

#[test]
fn a_snapshot_begins_with_the_id() {
    let (id, members) = (Uuid::from_u128(1), r#"{"name":"x","customFields":{}}"#);
    assert_eq!(
        snapshot(id, members),
        format!(r#"{{"id":"{id}","name":"x","customFields":{{}}}}"#)
    );
    assert_eq!(snapshot(id, "{}"), format!(r#"{{"id":"{id}"}}"#));
}

#[test]
fn entities_do_not_grow_without_end() {
    let mut members = created(EntityKind::Notification, &json!({"text": "x"})).members;
    assert_eq!(from_text(&text(&members)), Some(members.clone()));
    members.insert("text".to_owned(), Value::from("x".repeat(MAX_TEXT)));
    assert!(to_text(&members).is_err());
}

#[test]
fn every_collection_has_a_model() {
    for kind in EntityKind::ALL {
        assert_eq!(
            fields(*kind).is_empty(),
            kind.collection().is_none(),
            "{kind:?}"
        );
    }
}
