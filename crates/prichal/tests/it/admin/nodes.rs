//! `/admin/v1/nodes`.

use crate::harness::hub::Hub;

#[tokio::test]
async fn the_answering_node_is_listed() {
    let hub = Hub::start().await;
    let nodes = hub.admin().get("/admin/v1/nodes").await.ok();
    let [node] = &nodes["items"].as_array().expect("items")[..] else {
        panic!("{}", nodes.text);
    };
    assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&node["isAlive"], &node["answers"]),
        (&true.into(), &true.into())
    );
    assert!(
        node["startedAt"]
            .as_str()
            .is_some_and(|at| at.starts_with("2026-01-01T00:00:00"))
    );
    let space = hub.workspace("acme").await;
    let refused = space.at("").get("/admin/v1/nodes").await;
    assert_eq!(refused.status, 403);
}
