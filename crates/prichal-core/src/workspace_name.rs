//! Names that people give to workspaces (`docs/contracts/prichal.md §4`).

/// True for a valid name of a workspace: `^[a-z][a-z0-9-]{1,62}$`.
pub fn is_workspace_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (2..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(plain)
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
            "", "a", "1a", "-a", "Ab", "a_b", "a b", "a.b", "aб", &too_long,
        ] {
            assert!(!is_workspace_name(bad), "{bad}");
        }
    }
}
