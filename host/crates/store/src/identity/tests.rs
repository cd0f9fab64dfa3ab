//! Tests of keys and tenants as records.

use super::*;

#[test]
fn a_key_ends_with_the_first_of_its_ends() {
    let mut key = Key {
        id: KeyId([1; 8]),
        tenant: TenantId::default_tenant(),
        scope: Scope::Invoke,
        name: String::new(),
        digest: SecretDigest([2; 32]),
        created_at: Millis(10),
        expires_at: None,
        revoked_at: None,
    };
    assert_eq!(key.ended_at(Millis(u64::MAX)), None);
    key.expires_at = Some(Millis(20));
    assert_eq!((key.ended_at(Millis(19)), key.ended_at(Millis(20))), (None, Some(Millis(20))));
    key.revoked_at = Some(Millis(15));
    assert_eq!(key.ended_at(Millis(16)), Some(Millis(15)));
    assert!(!format!("{key:?}").contains("02"), "a digest is not shown");
}

#[test]
fn a_record_of_a_tenant_may_have_fields_that_are_not_known_here() {
    let tenant: Tenant = serde_json::from_str(r#"{"id":"acme","created_at":7,"quotas":{"fuel":9}}"#).unwrap();
    assert_eq!(tenant, Tenant::new("acme".parse().unwrap(), Millis(7)));
}

#[test]
fn an_id_has_one_form() {
    let id = KeyId([0xa5; 8]);
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(serde_json::from_str::<KeyId>("\"a5a5a5a5a5a5a5a5\"").unwrap(), id);
    for bad in ["", "a5", "A5A5A5A5A5A5A5A5", "a5a5a5a5a5a5a5a5a5", "+5a5a5a5a5a5a5a5", "a5a5a5a5a5a5a5aé"] {
        assert_eq!(bad.parse::<KeyId>(), Err(NoHex), "{bad}");
    }
}
