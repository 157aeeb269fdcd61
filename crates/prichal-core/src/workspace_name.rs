//! Names that people give to workspaces (`docs/contracts/prichal.md §4`).

use crate::schema::Form;

/// The form of names. One word of the pattern is reserved.
pub static NAME: Form = Form::new(
    "2 to 63 characters: a lower-case Latin letter, then lower-case letters, digits and hyphens; 'authorization' is reserved",
    "^[a-z][a-z0-9-]{1,62}$",
    is_workspace_name,
);

/// True for a valid name of a workspace. `/api/v1/authorization` is not a workspace.
pub fn is_workspace_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (2..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(plain)
        && name != "authorization"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_names() {
        let longest = "a".repeat(63);
        for good in ["ab", "a1", "a-", "my-workspace", &longest] {
            assert!(is_workspace_name(good), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in [
            "",
            "a",
            "1a",
            "-a",
            "Ab",
            "a_b",
            "a b",
            "a.b",
            "aб",
            "authorization",
            &too_long,
        ] {
            assert!(!is_workspace_name(bad), "{bad}");
        }
    }
}
