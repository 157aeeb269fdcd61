//! Policies as data.

use super::{Case, attached, authority, signer};
use prichal_sign::{Policy, Severity, SubIndication as Sub};

#[test]
fn a_policy_can_be_written_by_hand() {
    let mut value = serde_json::to_value(Policy::kz()).unwrap();
    value["id"] = "ours".into();
    value["noRevocationData"] = "warn".into();
    let policy: Policy = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(policy.no_revocation_data, Severity::Warn);
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.material.crls.clear();
    case.fails(17, Sub::TryLater);
    case.policy = policy;
    assert_eq!(case.warns(17).policy, "ours");
    value["noSuchRule"] = "warn".into();
    assert!(serde_json::from_value::<Policy>(value).is_err());
}
