//! The frame around every page: sections, language, account, notices.

use crate::{
    backend::{Role, Workspace},
    language::Language,
    moment,
    visit::{Visit, Visitor},
    words::Common,
};

/// The sections of a workspace, in the order of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Now,
    Deliveries,
    Events,
    Calls,
    Documents,
    Channels,
    Integrations,
    Settings,
}

impl Section {
    pub(crate) const ALL: [Self; 8] = [
        Self::Now,
        Self::Deliveries,
        Self::Events,
        Self::Calls,
        Self::Documents,
        Self::Channels,
        Self::Integrations,
        Self::Settings,
    ];

    /// The segment of its paths.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Deliveries => "deliveries",
            Self::Events => "events",
            Self::Calls => "calls",
            Self::Documents => "documents",
            Self::Channels => "channels",
            Self::Integrations => "integrations",
            Self::Settings => "settings",
        }
    }

    /// The key that leads to it after `g`.
    pub(crate) const fn key(self) -> char {
        match self {
            Self::Now => 'n',
            Self::Deliveries => 'd',
            Self::Events => 'e',
            Self::Calls => 'c',
            Self::Documents => 'o',
            Self::Channels => 'h',
            Self::Integrations => 'i',
            Self::Settings => 's',
        }
    }

    const fn name(self, w: &Common) -> &'static str {
        match self {
            Self::Now => w.now,
            Self::Deliveries => w.deliveries,
            Self::Events => w.events,
            Self::Calls => w.calls,
            Self::Documents => w.documents,
            Self::Channels => w.channels,
            Self::Integrations => w.integrations,
            Self::Settings => w.settings,
        }
    }

    /// True if the menu shows it to a role. What a page shows is decided by the API.
    pub(crate) const fn is_shown_to(self, role: Role) -> bool {
        match role {
            Role::Operator | Role::Admin | Role::Viewer => true,
            Role::Integrator => matches!(
                self,
                Self::Now | Self::Deliveries | Self::Events | Self::Integrations
            ),
            Role::Employee => matches!(self, Self::Calls | Self::Documents),
        }
    }

    /// The section that a role sees first.
    pub(crate) const fn first_of(role: Role) -> Self {
        match role {
            Role::Employee => Self::Calls,
            _ => Self::Now,
        }
    }
}

/// A line of the menu.
pub(crate) struct Link {
    pub(crate) href: String,
    pub(crate) name: &'static str,
    pub(crate) key: Option<char>,
    pub(crate) is_current: bool,
}

/// A page without a session.
pub(crate) struct Bare {
    pub(crate) language: Language,
    pub(crate) title: String,
    pub(crate) c: &'static Common,
}

impl Bare {
    pub(crate) fn new(language: Language, title: &str) -> Self {
        Self {
            language,
            title: title.to_owned(),
            c: Common::of(language),
        }
    }
}

/// The word for a role.
pub(crate) const fn role_word(role: Role, w: &Common) -> &'static str {
    match role {
        Role::Operator => w.role_operator,
        Role::Admin => w.role_admin,
        Role::Integrator => w.role_integrator,
        Role::Employee => w.role_employee,
        Role::Viewer => w.role_viewer,
    }
}

/// The frame of a page with a session. Templates call it `layout`.
pub(crate) struct Layout {
    pub(crate) bare: Bare,
    /// The name of the person or the token.
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) workspace: Option<Workspace>,
    pub(crate) links: Vec<Link>,
    pub(crate) has_operator: bool,
    pub(crate) form_token: String,
    /// The page's own address, to which a change of the language returns.
    pub(crate) here: String,
    /// The changes of the workspace that the page knows.
    pub(crate) mark: String,
    /// The zone of the times, such as `UTC+5`.
    pub(crate) zone: String,
    /// A sentence about what was just done.
    pub(crate) notice: Option<String>,
}

impl Layout {
    /// The frame of a page of a workspace.
    pub(crate) fn of(visit: &Visit, section: Section, title: &str) -> Self {
        let mut layout = Self::of_hub(visit, title);
        let role = visit.session.role;
        layout.workspace = Some(visit.workspace.clone());
        layout.mark.clone_from(&visit.mark);
        layout.zone = moment::offset(visit.console.now(), &visit.workspace.zone);
        layout.links = Section::ALL
            .into_iter()
            .filter(|one| one.is_shown_to(role))
            .map(|one| Link {
                href: visit.page(one.path()),
                name: one.name(layout.bare.c),
                key: Some(one.key()),
                is_current: one == section,
            })
            .collect();
        layout
    }

    /// The frame of a page outside of workspaces.
    pub(crate) fn of_hub(visitor: &Visitor, title: &str) -> Self {
        let bare = Bare::new(visitor.language, title);
        let role = role_word(visitor.session.role, bare.c);
        Self {
            bare,
            name: visitor.session.name.clone(),
            role,
            workspace: None,
            links: Vec::new(),
            has_operator: visitor.session.role == Role::Operator,
            form_token: visitor.form_token.clone(),
            here: visitor.here.clone(),
            mark: String::new(),
            zone: "UTC".to_owned(),
            notice: None,
        }
    }

    #[must_use]
    pub(crate) fn with_notice(mut self, notice: Option<impl Into<String>>) -> Self {
        self.notice = notice.map(Into::into);
        self
    }

    /// The address of the workspace's first page.
    pub(crate) fn home(&self) -> String {
        let segment = self.workspace.as_ref().map(Workspace::segment);
        segment.map_or_else(String::new, |segment| format!("/console/{segment}"))
    }

    /// True if this is the page at an address.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        self.here.split('?').next() == Some(path)
    }

    /// The address at which the workspace's changes are announced; empty outside of workspaces.
    pub(crate) fn live(&self) -> String {
        let home = self.home();
        if home.is_empty() {
            home
        } else {
            format!("{home}/live")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_section_has_its_own_path_and_key() {
        let paths: HashSet<_> = Section::ALL.iter().map(|one| one.path()).collect();
        let keys: HashSet<_> = Section::ALL.iter().map(|one| one.key()).collect();
        assert_eq!((paths.len(), keys.len()), (8, 8));
    }

    #[test]
    fn a_role_sees_its_first_section() {
        for role in Role::ALL {
            assert!(Section::first_of(role).is_shown_to(role), "{role:?}");
        }
    }
}
