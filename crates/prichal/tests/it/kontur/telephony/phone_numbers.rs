//! Phone numbers in any form find their contacts.

use serde_json::{Value, json};

use crate::harness::{
    hub::{Installation, eventually},
    telephony_exchange::{TelephonyExchange, started},
};

async fn contact(pbx: &TelephonyExchange, number: &str) -> String {
    let body = json!({ "name": number, "phones": [{ "type": "work", "value": number }] });
    pbx.make("contacts", body).await
}

/// The contacts that a call with this number is linked with.
async fn hits(pbx: &TelephonyExchange, n: usize, number: &str) -> Value {
    let mut call = started(&format!("call {n} {number}"));
    call["clientPhone"] = number.into();
    let answer = pbx.send("call-started", call).await.ok();
    assert_eq!(answer["data"]["call"]["clientPhone"], number.trim());
    answer["links"]["contactIds"].clone()
}

async fn found(pbx: &TelephonyExchange, number: &str) -> Value {
    let number: String = form_urlencoded::byte_serialize(number.as_bytes()).collect();
    pbx.space
        .get(&format!("/communications?phone={number}"))
        .await
        .ok()["count"]
        .clone()
}

async fn set_region(pbx: &TelephonyExchange, region: &str) {
    let set = json!([{ "op": "replace", "path": "/phoneRegion", "value": region }]);
    let settings = pbx.space.patch("/settings", set).await.ok();
    assert_eq!(settings["phoneRegion"], region);
}

#[tokio::test]
async fn exchanges_write_numbers_in_many_ways() {
    let pbx = TelephonyExchange::new().await;
    let (kazakh, estonian, russian) = (
        contact(&pbx, "+7 701 123 45 67").await,
        contact(&pbx, "+372 512 3456").await,
        contact(&pbx, "8 372 512-34-56").await,
    );
    for (n, (number, owner)) in [
        ("sip:+77011234567@10.0.0.5:5060;user=phone", &kazakh),
        ("\"Ivan\" <sip:+77011234567@pbx.kz:5060>;tag=1", &kazakh),
        ("77011234567x101", &kazakh),
        ("PJSIP/77011234567-0000001a", &kazakh),
        ("tel:+3725123456", &estonian),
        ("(+372) 512 3456", &estonian),
        ("003725123456", &estonian),
        ("8103725123456", &estonian),
        ("3725123456", &russian),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(hits(&pbx, n, number).await, json!([owner]), "{number}");
    }
    // The first of two numbers is the call's. Both are looked up.
    let other = contact(&pbx, "8-702-000-00-00 / 8-703-000-00-00").await;
    let mut both = vec![kazakh.clone(), other.clone()];
    both.sort_unstable();
    assert_eq!(
        hits(&pbx, 20, "8-701-123-45-67 / 8-702-000-00-00").await,
        json!(both)
    );
    assert_eq!(hits(&pbx, 21, "+77030000000").await, json!([other]));
    assert_eq!(found(&pbx, "87011234567").await, 5);
    assert_eq!(found(&pbx, "87020000000").await, 0);
    let redirect =
        "/communications/callbacks/telephony/call-redirect?phoneNumber=sip%3A%2B77011234567%40pbx";
    assert_eq!(pbx.api.get(redirect).await.ok()["userIds"], json!([]));
}

#[tokio::test]
async fn a_workspace_has_its_region() {
    let pbx = TelephonyExchange::new().await;
    let ukrainian = contact(&pbx, "050 123 45 67").await;
    assert_eq!(hits(&pbx, 1, "+380501234567").await, json!([]));
    assert_eq!(found(&pbx, "050 123 45 67").await, 0);
    set_region(&pbx, "UA").await;
    // Old numbers are keyed anew, and new ones follow the new region at once.
    let mut n = 2;
    eventually("contacts are keyed anew", || {
        n += 1;
        let (pbx, ukrainian) = (&pbx, &ukrainian);
        async move {
            let owners = hits(pbx, n, "+380501234567").await;
            (owners == json!([ukrainian])).then_some(())
        }
    })
    .await;
    let late = contact(&pbx, "0671234567").await;
    assert_eq!(hits(&pbx, 1000, "380671234567").await, json!([late]));
    assert_ne!(found(&pbx, "0501234567").await, 0);
    let wrong = json!([{ "op": "replace", "path": "/phoneRegion", "value": "XX" }]);
    assert_eq!(pbx.space.patch("/settings", wrong).await.status, 409);
}

#[tokio::test]
async fn old_keys_are_replaced_at_the_start() {
    let installation = Installation::new(|_| ());
    let pbx = TelephonyExchange::on(installation.start().await, "http://127.0.0.1:9").await;
    let owner = contact(&pbx, "sip:+77011234567@pbx").await;
    hits(&pbx, 1, "+77011234567").await;
    // The key that an earlier version of the rules wrote.
    installation.execute(
        "UPDATE phone SET phone = '0'; UPDATE communication SET phone = '0'; DELETE FROM phone_index",
    );
    assert_eq!(found(&pbx, "+77011234567").await, 0);
    let TelephonyExchange {
        hub, space, api, ..
    } = pbx;
    let hub = hub.restart().await;
    let (space, api) = (hub.adopt(&space), hub.adopt(&api));
    eventually("calls are keyed anew", || async {
        let found = space.get("/communications?phone=87011234567").await.ok();
        (found["count"] == 1).then_some(())
    })
    .await;
    let mut call = started("after");
    call["clientPhone"] = "87011234567".into();
    let call = api
        .post("/communications/callbacks/telephony/call-started", call)
        .await
        .ok();
    assert_eq!(call["links"]["contactIds"], json!([owner]));
}
