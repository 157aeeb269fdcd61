//! Lists: filters, orders, masks and pages.

use serde_json::{Value, json};

use super::{at, example};
use crate::harness::channel_workspace::{ChannelWorkspace, POINTS};

#[tokio::test]
async fn lists_are_filtered_sorted_and_masked() {
    let era = ChannelWorkspace::new().await;
    for (code, kind, title) in [
        ("c", "public", "x"),
        ("a", "telegram", "x"),
        ("b", "public", "y"),
    ] {
        era.rest
            .post(
                POINTS,
                json!({ "code": code, "type": kind, "opts": { "title": title } }),
            )
            .await
            .ok();
        era.hub.advance(std::time::Duration::from_secs(1));
    }
    let list = |query: &str| {
        let encoded: String = query.to_owned();
        let rest = era.rest.clone();
        async move {
            rest.get(&format!("{POINTS}?mask=code&{encoded}"))
                .await
                .ok()
                .text
        }
    };
    let codes = |codes: &[&str]| {
        let items: Vec<Value> = codes.iter().map(|code| json!({ "code": code })).collect();
        Value::Array(items).to_string()
    };
    assert_eq!(list("").await, codes(&["c", "a", "b"]), "the oldest first");
    assert_eq!(
        list("order=%5B%22code%22%5D").await,
        codes(&["a", "b", "c"])
    );
    assert_eq!(
        list("order=%5B%22type%22%2C%7B%22code%22%3A%22desc%22%7D%5D").await,
        codes(&["c", "b", "a"])
    );
    assert_eq!(
        list("filter=%7B%22type%22%3A%22public%22%7D").await,
        codes(&["c", "b"])
    );
    assert_eq!(
        list("filter=%7B%22type%22%3A%22public%22%2C%22opts.title%22%3A%22y%22%7D").await,
        codes(&["b"])
    );
    assert_eq!(list("offset=1&limit=1").await, codes(&["a"]));
    // Members that were never set have their defaults.
    for unset in [
        "opts.recv_timeout%22%3A0",
        "opts.roles%22%3A%5B%5D",
        "opts.issync%22%3Afalse",
    ] {
        let all = list(&format!("filter=%7B%22{unset}%7D")).await;
        assert_eq!(all, codes(&["c", "a", "b"]), "{unset}");
    }
    assert_eq!(list("offset=7").await, "[]");
    let flat = era
        .rest
        .get(&format!("{POINTS}?mask=code,opts.title&flat=true&limit=1"))
        .await
        .ok();
    assert_eq!(flat.text, r#"[{"code":"c","opts.title":"x"}]"#);
    for (query, name) in [
        ("mask=colour", "mask"),
        ("filter=%7B", "filter"),
        ("filter=%7B%22colour%22%3A1%7D", "filter"),
        ("filter=%7B%22code%22%3A902%7D", "code must be a text"),
        ("filter=%7B%22code%22%3Anull%7D", "code must be a text"),
        (
            "filter=%7B%22opts.issync%22%3A%22x%22%7D",
            "opts.issync must be true or false",
        ),
        (
            "filter=%7B%22opts.recv_timeout%22%3A1.5%7D",
            "opts.recv_timeout must be a whole number",
        ),
        ("order=code", "order"),
        ("offset=-1", "offset"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("flat=maybe", "flat"),
    ] {
        let refused = era.rest.get(&format!("{POINTS}?{query}")).await;
        assert_eq!(
            (refused.status, &refused["error_code"]),
            (400, &json!(1400)),
            "{query}"
        );
        let message = refused.str("error_message");
        assert!(message.contains(name), "{message}");
    }
}

/// The names that the vendor's page lists for `mask`, and the members of an entity that they stand for.
const MASKED: [(&str, &str); 15] = [
    ("id", "id"),
    ("code", "code"),
    ("type", "type"),
    ("tokenlocal", "token_local"),
    ("tokenremote", "token_remote"),
    ("tokenremote2", "token_remote2"),
    ("recv_svcscriptcode", "recv_svcscriptcode"),
    ("recv_svcscriptcode_ws", "recv_svcscriptcode_ws"),
    ("send_svcscriptcode", "send_svcscriptcode"),
    ("send_svcscriptcode_ws", "send_svcscriptcode_ws"),
    ("opts.title", "opts"),
    ("opts.allow_files_api", "opts"),
    ("opts.issync", "opts"),
    ("ext.lwt", "ext"),
    ("ext.ct", "ext"),
];

#[tokio::test]
async fn a_mask_takes_the_names_of_the_page_and_those_of_the_entity() {
    let era = ChannelWorkspace::new().await;
    let made = era.rest.post(POINTS, example()).await.ok();
    let one = at(&made.str("id"));
    let masked = |mask: &str, flat: bool| {
        let (rest, one) = (era.rest.clone(), one.clone());
        let query = format!("?mask={mask}&flat={flat}");
        async move {
            let alone = rest.get(&format!("{one}{query}")).await.ok();
            let list = rest.get(&format!("{POINTS}{query}")).await.ok();
            assert_eq!(list.text, format!("[{}]", alone.text), "{query}");
            alone.json
        }
    };
    for (name, member) in MASKED {
        let value = match name.split_once('.') {
            Some((outer, inner)) => json!({ inner: made[outer][inner] }),
            None => made[member].clone(),
        };
        assert_eq!(
            masked(name, false).await,
            json!({ member: value }),
            "{name}"
        );
        if member == name.replace("token", "token_") {
            let other = masked(member, false).await;
            assert_eq!(other, json!({ member: value }), "{member}");
        }
    }
    let all = masked("url,%20opts", false).await;
    assert_eq!(
        all,
        json!({ "url": "http://trapper.com", "opts": made["opts"] })
    );
    let flat = masked("opts,ext.ct", true).await;
    let ct = &made["ext"]["ct"];
    assert_eq!(
        flat,
        json!({ "opts.title": "", "opts.comment": "", "opts.allow_files_api": false, "opts.issync": false, "ext.ct": ct })
    );
    let whole = era.rest.get(&format!("{one}?flat=1")).await.ok();
    assert_eq!(whole["ext.lwt"], *ct);
    assert_eq!(whole["token_local"], made["token_local"]);
    let refused = era.rest.get(&format!("{one}?mask=opts.colour")).await;
    assert_eq!(refused["error_code"], 1400);
    assert!(refused.str("error_message").contains("mask"));
}

#[tokio::test]
async fn a_list_has_a_hundred_entries_by_default_in_a_stable_order() {
    let era = ChannelWorkspace::new().await;
    for n in 0..101 {
        let body = json!({ "code": format!("c{n}"), "type": "t" });
        era.rest.post(POINTS, body).await.ok();
    }
    let list = |query: &str| {
        let (rest, path) = (era.rest.clone(), format!("{POINTS}?mask=id&{query}"));
        async move {
            rest.get(&path)
                .await
                .ok()
                .json
                .as_array()
                .expect("a list")
                .clone()
        }
    };
    let (first, rest) = (list("").await, list("offset=100").await);
    assert_eq!((first.len(), rest.len()), (100, 1));
    let all = list("limit=1000").await;
    assert_eq!(
        [first, rest].concat(),
        all,
        "made at one time, they go by their ids"
    );
    let mut sorted = all.clone();
    sorted.sort_by_key(|one| one["id"].as_str().expect("an id").to_owned());
    assert_eq!(all, sorted);
    assert!(list("limit=0").await.is_empty());
}
