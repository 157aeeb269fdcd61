//! The rights of a provider's groups in settings.

use prichal_store::token::Role;

/// The right of a group of the OpenID provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcRight {
    pub group: String,
    /// The workspace, by its name, and the role there; `None` for the server's operator.
    pub of: Option<(String, Role)>,
}

impl OidcRight {
    /// Reads `GROUP=WORKSPACE:ROLE` or `GROUP=operator`. An integrator has no integrations here, so that role is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (group, right) = text.rsplit_once('=')?;
        let of = match right.split_once(':') {
            None if right == "operator" => None,
            None => return None,
            Some((workspace, role)) => {
                let role = Role::parse(role).filter(|role| *role != Role::Integrator)?;
                Some((workspace.to_owned(), role)).filter(|(name, _)| !name.is_empty())
            }
        };
        let is_whole = !group.is_empty() && (of.is_some() || right == "operator");
        is_whole.then(|| Self {
            group: group.to_owned(),
            of,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_of_a_workspace_or_of_the_operator() {
        let right = |group: &str, of: Option<(&str, Role)>| {
            Some(OidcRight {
                group: group.to_owned(),
                of: of.map(|(workspace, role)| (workspace.to_owned(), role)),
            })
        };
        for (text, expected) in [
            ("ops=operator", right("ops", None)),
            ("crm=acme:admin", right("crm", Some(("acme", Role::Admin)))),
            (
                "cn=crm=acme:viewer",
                right("cn=crm", Some(("acme", Role::Viewer))),
            ),
            ("crm=acme:integrator", None),
            ("crm=acme:king", None),
            ("crm=:admin", None),
            ("crm=acme", None),
            ("=operator", None),
            ("operator", None),
            ("", None),
        ] {
            assert_eq!(OidcRight::parse(text), expected, "{text}");
        }
    }
}
