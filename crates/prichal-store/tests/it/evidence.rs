//! Downloaded evidence is kept as long as there is room.

use std::time::Duration;

use prichal_core::time::Timestamp;
use prichal_store::{
    Error,
    evidence::{self, Evidence},
};

use crate::test_store::{TestStore, workspace};

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

#[tokio::test]
async fn the_oldest_evidence_is_deleted_first() {
    let store = TestStore::open();
    let put = async |name: &str, age: u64, size: usize, most: i64, bytes: i64| {
        let one = Evidence {
            url: name.to_owned(),
            kind: "crl".to_owned(),
            body: vec![7; size],
            fetched_at: NOW - Duration::from_secs(age),
            expires_at: NOW + Duration::from_secs(1),
        };
        let write = move |tx: &mut prichal_store::Tx<'_>| {
            evidence::put(tx, &one)?;
            evidence::shrink(tx, most, bytes)
        };
        store.db.write(workspace(7), write).await.expect("written")
    };
    let left = async || {
        let names = ["a", "b", "c", "d"];
        let find = move |conn: &mut prichal_store::Conn| {
            let mut left = String::new();
            for name in names {
                if let Some(found) = evidence::find(conn, name, NOW)? {
                    left.push_str(&found.url);
                }
            }
            Ok::<_, Error>(left)
        };
        store.db.read(find).await.expect("read")
    };
    for (n, name) in (0..).zip(["a", "b", "c"]) {
        assert_eq!(put(name, 10 - n, 100, 3, 300).await, 0);
    }
    assert_eq!(left().await, "abc");
    // One item too many.
    assert_eq!(put("d", 6, 1, 3, 300).await, 1);
    assert_eq!(left().await, "bcd");
    // Too many bytes. A repeated download makes an item the newest.
    assert_eq!(put("b", 5, 250, 3, 300).await, 1);
    assert_eq!(left().await, "bd");
    // An item larger than the limit is deleted, too.
    assert_eq!(put("c", 1, 301, 3, 300).await, 3);
    assert_eq!(left().await, "");
}
