//! People and settings of a workspace, one tab a file.

mod alerts;
mod audit;
mod limits;
mod people;
mod signatures;
#[cfg(test)]
mod tests;
mod tokens;

pub(super) use alerts::{acknowledge, alerts, save_alerts};
pub(super) use audit::audit;
pub(super) use limits::{limits, save_limits};
pub(super) use people::{people, person, save_person};
pub(super) use signatures::signatures;
pub(super) use tokens::{create_token, revoke_token, tokens};

use axum::response::Response;

use crate::{
    answer::redirect,
    backend::Role,
    form::Fields,
    page::{Layout, Section},
    visit::Visit,
    words::Settings,
};

/// The parts of the settings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    People,
    Tokens,
    Signatures,
    Alerts,
    Limits,
    Audit,
}

impl Tab {
    const ALL: [Self; 6] = [
        Self::People,
        Self::Tokens,
        Self::Signatures,
        Self::Alerts,
        Self::Limits,
        Self::Audit,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::People => "settings/people",
            Self::Tokens => "settings/tokens",
            Self::Signatures => "settings/signatures",
            Self::Alerts => "settings/alerts",
            Self::Limits => "settings/limits",
            Self::Audit => "settings/audit",
        }
    }

    /// True if the API shows the part to a role.
    const fn is_shown_to(self, role: Role) -> bool {
        match self {
            Self::People | Self::Tokens | Self::Signatures | Self::Limits => true,
            Self::Alerts | Self::Audit => {
                matches!(role, Role::Operator | Role::Admin | Role::Viewer)
            }
        }
    }

    const fn name(self, w: &Settings) -> &'static str {
        match self {
            Self::People => w.people,
            Self::Tokens => w.tokens,
            Self::Signatures => w.signatures,
            Self::Alerts => w.alerts,
            Self::Limits => w.limits,
            Self::Audit => w.audit,
        }
    }
}

/// The links to the parts of the settings, and their words.
struct Tabs {
    w: &'static Settings,
    links: Vec<TabLink>,
}

struct TabLink {
    href: String,
    name: &'static str,
    is_current: bool,
}

/// The frame of a part of the settings.
fn frame(visit: &Visit, tab: Tab, fields: &Fields) -> (Layout, Tabs) {
    let w = Settings::of(visit.language);
    let notice = match fields.text("done") {
        "saved" => Some(w.done_saved),
        "revoked" => Some(w.done_revoked),
        "acknowledged" => Some(w.done_acknowledged),
        _ => None,
    };
    let shown = Tab::ALL.into_iter();
    let shown = shown.filter(|one| one.is_shown_to(visit.session.role));
    let links = shown.map(|one| TabLink {
        href: visit.page(one.path()),
        name: one.name(w),
        is_current: one == tab,
    });
    let links = links.collect();
    let layout = Layout::of(visit, Section::Settings, tab.name(w)).with_notice(notice);
    (layout, Tabs { w, links })
}

/// The first part of the settings.
pub(crate) async fn settings(visit: Visit) -> Response {
    redirect(&visit.page(Tab::People.path()))
}
