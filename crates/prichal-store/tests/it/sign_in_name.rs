//! The look-up of a user by what a sign-in knows.

use prichal_core::{
    entity::{email_name, login_name},
    event::{Author, EntityKind, Origin},
    id::{EntityId, UserId, WorkspaceId},
    update_info::UpdateInfo,
};
use prichal_store::{
    Conn, Error,
    entity::{self, Entity},
    sign_in_name,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::test_store::{TestStore, at, workspace};

fn user(workspace: WorkspaceId, n: u128, members: &Value) -> Entity {
    let origin = Origin {
        workspace,
        author: Author::system(),
        at: at(1),
    };
    Entity {
        workspace,
        kind: EntityKind::User,
        id: EntityId(Uuid::from_u128(n)),
        members: members.to_string(),
        update_info: UpdateInfo::created(&origin),
        deleted_at: None,
    }
}

async fn insert(store: &TestStore, users: Vec<Entity>) {
    let write = store.db.write(workspace(1), move |tx| {
        users.iter().for_each(|user| entity::insert(tx, user));
        Ok::<_, Error>(())
    });
    write.await.expect("written");
}

async fn update(store: &TestStore, user: Entity) {
    let write = store.db.write(workspace(1), move |tx| {
        entity::update(tx, &user, user.members.len())
    });
    write.await.expect("written");
}

async fn find(store: &TestStore, of: u128, names: &[Option<String>]) -> Option<u128> {
    let names: Vec<String> = names.iter().flatten().cloned().collect();
    let find = move |conn: &mut Conn| sign_in_name::find(conn, workspace(of), &names);
    let found = store.db.read::<_, Error>(find).await;
    let found: Option<UserId> = found.expect("the store answers");
    found.map(|user| user.0.as_u128())
}

#[tokio::test]
async fn a_user_is_found_by_an_exact_name() {
    let store = TestStore::open();
    let ada = json!({ "login": "ada", "email": "Ada@Acme.example" });
    let nul = json!({ "login": "a\0b", "email": "" });
    insert(
        &store,
        vec![
            user(
                workspace(1),
                5,
                &json!({ "login": "eve", "email": "ada@acme.example.evil" }),
            ),
            user(workspace(1), 7, &ada),
            user(workspace(1), 8, &json!({ "login": "ada@acme.example" })),
            user(
                workspace(1),
                9,
                &json!({ "login": 7, "email": "x".repeat(400) }),
            ),
            user(workspace(1), 10, &nul),
            user(workspace(2), 1, &ada),
        ],
    )
    .await;
    let (email, login) = (email_name("aDA@acme.example"), login_name("ada"));
    let by_email = [email.clone()];
    for (names, expected) in [
        (&by_email[..], Some(7)),
        (std::slice::from_ref(&login), Some(7)),
        (&[login_name("Ada")], None),
        (&[login_name("ada@acme.example"), email.clone()], Some(7)),
        (&[login_name("ada@acme.example")], Some(8)),
        (&[email_name("acme.example")], None),
        (&[email_name("%")], None),
        (
            &[
                login_name(""),
                email_name(&"x".repeat(400)),
                login_name("a\0b"),
            ],
            None,
        ),
        (&[], None),
    ] {
        assert_eq!(find(&store, 1, names).await, expected, "{names:?}");
    }
    assert_eq!(find(&store, 2, &by_email).await, Some(1));
    assert_eq!(find(&store, 3, &by_email).await, None);

    // A change counts at once, and a deleted user has no names.
    let mut changed = user(workspace(1), 7, &json!({ "login": "ada", "email": "a@b" }));
    update(&store, changed.clone()).await;
    assert_eq!(find(&store, 1, &by_email).await, None);
    assert_eq!(find(&store, 1, &[email_name("A@B")]).await, Some(7));
    changed.deleted_at = Some(at(2));
    update(&store, changed.clone()).await;
    assert_eq!(
        find(&store, 1, &[login.clone(), email_name("a@b")]).await,
        None
    );
    changed.deleted_at = None;
    update(&store, changed).await;
    assert_eq!(find(&store, 1, &[login]).await, Some(7));
}

#[tokio::test]
async fn the_last_of_many_users_is_found() {
    let store = TestStore::open();
    let of = |n: u128| {
        let email = format!("user-{n}@acme.example");
        user(
            workspace(1),
            n,
            &json!({ "login": n.to_string(), "email": email }),
        )
    };
    insert(&store, (1..=10_100).map(of).collect()).await;
    let last = [email_name("user-10100@acme.example")];
    assert_eq!(find(&store, 1, &last).await, Some(10_100));
}
