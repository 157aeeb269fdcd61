use super::*;

const COMPANY: Entity = (EntityKind::Company, Uuid::from_u128(1));
const DEAL: Entity = (EntityKind::Deal, Uuid::from_u128(2));

fn origin(user: Option<UserId>) -> Origin {
    Origin {
        workspace: WorkspaceId(Uuid::from_u128(9)),
        author: Author::web_app(user),
        at: Timestamp::parse("2021-03-12T15:07:34.312330Z").unwrap(),
    }
}

#[test]
fn names_are_read_back_in_either_case() {
    for kind in EntityKind::ALL {
        assert_eq!(
            EntityKind::from_name(&kind.name().to_uppercase()),
            Some(*kind)
        );
        assert_eq!(EntityKind::from_id_member(kind.id_member()), Some(*kind));
        assert_eq!(kind.id_member(), format!("{}Id", kind.name()));
        assert!(kind.name().eq_ignore_ascii_case(kind.type_name()));
        if let Some(collection) = kind.collection() {
            assert_eq!(EntityKind::from_collection(collection), Some(*kind));
        }
    }
    assert_eq!(EntityKind::from_name("catalogs"), None);
    assert_eq!(EntityKind::from_collection("communications"), None);
}

#[test]
fn a_patch_as_the_feed_serves_it() {
    let user = UserId(Uuid::from_u128(3));
    let event = NewEvent::patch(
        EventId(Uuid::from_u128(4)),
        &origin(Some(user)),
        COMPANY,
        r#"{"id":"x"}"#.to_owned(),
        r#"{"id":"x","name":"y"}"#.to_owned(),
    );
    assert_eq!(
        event.render(Uuid::from_u128(5)),
        concat!(
            r#"{"id":"00000000-0000-0000-0000-000000000004","#,
            r#""offset":"00000000-0000-0000-0000-000000000005","type":"change","#,
            r#""changeData":{"type":"patch","old":{"id":"x"},"new":{"id":"x","name":"y"}},"#,
            r#""entityIds":{"companyId":"00000000-0000-0000-0000-000000000001"},"#,
            r#""createInfo":{"createdAt":"2021-03-12T15:07:34.31233+00:00","#,
            r#""createdByUserId":"00000000-0000-0000-0000-000000000003","createdWith":"WebApp"}}"#,
        )
    );
}

#[test]
fn members_that_are_null_are_absent() {
    let id = EventId(Uuid::from_u128(4));
    let render = |event: NewEvent| -> serde_json::Value {
        serde_json::from_str(&event.render(Uuid::nil())).unwrap()
    };
    let created = render(NewEvent::create(
        id,
        &origin(None),
        COMPANY,
        "{}".to_owned(),
    ));
    assert_eq!(
        created["changeData"],
        serde_json::json!({"type": "create", "new": {}})
    );
    assert!(created["createInfo"].get("createdByUserId").is_none());
    let deleted = render(NewEvent::delete(
        id,
        &origin(None),
        COMPANY,
        "{}".to_owned(),
    ));
    assert_eq!(
        deleted["changeData"],
        serde_json::json!({"type": "delete", "old": {}})
    );
    let linked = render(NewEvent::link(id, &origin(None), COMPANY, DEAL));
    assert!(linked.get("changeData").is_none());
    assert_eq!(linked["entityIds"]["dealId"], DEAL.1.to_string());
    assert_eq!(linked["entityIds"]["companyId"], COMPANY.1.to_string());
}

#[test]
fn an_odd_integration_name_stays_valid_json() {
    let mut origin = origin(None);
    origin.author = Author::integration("a\"b\\c\n");
    let event = NewEvent::unlink(EventId(Uuid::nil()), &origin, COMPANY, DEAL);
    let value: serde_json::Value = serde_json::from_str(&event.render(Uuid::nil())).unwrap();
    assert_eq!(value["createInfo"]["createdWith"], "Integration.a\"b\\c\n");
}

#[test]
fn the_frame_needs_one_allocation() {
    let user = UserId(Uuid::max());
    let kind = EntityKind::IntegrationPoint;
    let entity = (kind, Uuid::max());
    let event = NewEvent::link(EventId(Uuid::max()), &origin(Some(user)), entity, entity);
    assert!(event.render(Uuid::max()).len() < 480);
    let event = NewEvent::patch(
        EventId(Uuid::max()),
        &origin(Some(user)),
        entity,
        String::new(),
        String::new(),
    );
    assert!(event.render(Uuid::max()).len() < 480);
}

#[test]
fn heads_survive_their_columns() {
    let one = Entities::one(COMPANY);
    let changes = ChangeType::ALL.iter();
    let changes = changes.map(|change| EventHead::new(EventType::Change(*change), one));
    let links = [EventType::Link, EventType::Unlink]
        .map(|kind| EventHead::new(kind, Entities::two(COMPANY, DEAL)));
    let custom = [None, Some("order 4711: x")].map(|entity| custom(entity).head());
    for head in changes.chain(links).chain(custom) {
        let (change, entities) = (head.change_column(), head.entities_column());
        let read = EventHead::from_columns(head.kind_column(), change.as_deref(), &entities);
        assert_eq!(read, Some(head), "{entities}");
    }
    let company = Entities::one(COMPANY).to_text();
    assert_eq!(company, "company:00000000-0000-0000-0000-000000000001");
    for (kind, change, entities) in [
        ("change", None, company.as_str()),
        ("link", Some("patch"), &company),
        ("custom", Some("order.created"), &company),
        (
            "custom",
            None,
            "custom:00000000-0000-0000-0000-000000000001",
        ),
        ("custom", Some("order.created"), "custom:1"),
        ("other", None, &company),
        ("link", None, ""),
        ("link", None, "company"),
        ("link", None, "company:1"),
        ("link", None, &format!("{company} {company} {company}")),
    ] {
        assert_eq!(
            EventHead::from_columns(kind, change, entities),
            None,
            "{kind} {entities}"
        );
    }
}

fn custom(entity: Option<&str>) -> NewEvent {
    let custom = CustomEvent {
        head: CustomHead {
            name: "order.created".to_owned(),
            entity: entity.map(str::to_owned),
        },
        version: 2,
        timestamp: "2021-03-12T18:07:34+03:00".to_owned(),
    };
    let (id, order) = (EventId(Uuid::from_u128(4)), Uuid::from_u128(7));
    NewEvent::custom(
        id,
        &origin(None),
        order,
        custom,
        r#"{"sum":1.10,"note":null}"#.to_owned(),
    )
}

#[test]
fn an_event_of_an_own_type_as_it_is_delivered() {
    assert_eq!(
        custom(Some("order:\"1\"")).render(Uuid::from_u128(5)),
        concat!(
            r#"{"id":"00000000-0000-0000-0000-000000000004","#,
            r#""offset":"00000000-0000-0000-0000-000000000005","type":"custom","#,
            r#""eventType":"order.created","version":2,"timestamp":"2021-03-12T18:07:34+03:00","#,
            r#""entity":"order:\"1\"","data":{"sum":1.10,"note":null},"#,
            r#""createInfo":{"createdAt":"2021-03-12T15:07:34.31233+00:00","createdWith":"WebApp"}}"#,
        )
    );
    let text = custom(None).render(Uuid::nil());
    assert!(!text.contains("\"entity\""), "{text}");
}
