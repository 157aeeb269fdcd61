//! A new entity on its way into the store. Work without the database is done before the writer is asked.

use std::borrow::Cow;

use prichal_core::{
    custom_field::{files, files_fields, phone_region, replace_files},
    entity::{
        self as rules, Defaults,
        rights::{self, Authority},
    },
    event::{self, EntityKind, NewEvent, Origin},
    id::{EntityId, EventId, FileId, WorkspaceId},
    identifier::Check,
    schema::{Fault, Object},
    update_info::UpdateInfo,
};
use prichal_store::{
    Conn, Tx,
    entity::{self, Entity},
    file,
};
use uuid::Uuid;

use super::{Changed, EntityRef, missing, model, noted, permit};
use crate::{
    domain::telephony::{owners, phones, record},
    error::{Error, Result},
};

/// The region of users without one, as known from real workspaces.
const DEFAULT_REGION: &str = "77";

#[derive(Clone, Debug)]
pub struct Draft {
    entity: Entity,
    event: EventId,
    /// True if the entity grants rights.
    grants: bool,
    links: Vec<event::Entity>,
    files: Option<Files>,
    /// The keys of its phones.
    phones: Vec<String>,
}

/// The files of an entity. They become permanent when it is written.
#[derive(Clone, Debug)]
struct Files {
    members: Object,
    fields: Vec<String>,
    ids: Vec<Uuid>,
}

impl Draft {
    pub fn read(
        kind: EntityKind,
        body: &Object,
        settings: &Object,
        check: Check,
        origin: &Origin,
    ) -> Result<Self, Vec<Fault>> {
        let defaults = Defaults {
            region: DEFAULT_REGION,
            now: origin.at,
        };
        let draft = rules::create(kind, body, defaults, &mut || {
            prichal_core::id::generate(origin.at)
        })?;
        if let Some(fault) = rules::check_identifiers(kind, &draft.members, check) {
            return Err(vec![fault]);
        }
        let fields = files_fields(settings, kind);
        let ids = files(kind, &draft.members, &fields)?;
        let members = rules::to_text(&draft.members).map_err(|fault| vec![fault])?;
        Ok(Self {
            entity: Entity {
                workspace: origin.workspace,
                kind,
                id: EntityId::generate(origin.at),
                members,
                update_info: UpdateInfo::created(origin),
                deleted_at: None,
            },
            event: EventId::generate(origin.at),
            grants: rights::grants(kind, &draft.members),
            phones: phones::keys(kind, &draft.members, phone_region(settings)),
            links: draft.links.unwrap_or_default(),
            files: (!ids.is_empty()).then_some(Files {
                members: draft.members,
                fields,
                ids,
            }),
        })
    }

    /// The entity as it will be written, except for files that are not bound yet.
    pub fn entity(&self) -> &Entity {
        &self.entity
    }

    /// The ends of the links that its model will show.
    pub fn links(&self) -> Vec<Uuid> {
        self.links.iter().map(|(_, id)| *id).collect()
    }

    /// Refuses an entity that grants rights, unless an administrator makes it.
    pub fn permit(&self, authority: Authority) -> Result<()> {
        permit(authority, self.grants)
    }

    /// Writes the entity, its links and their events.
    pub fn write(&self, tx: &mut Tx<'_>, origin: &Origin, authority: Authority) -> Result<Changed> {
        self.permit(authority)?;
        // Most entities mention no files and go into the store as they are.
        let mut entity = Cow::Borrowed(&self.entity);
        let me = (entity.kind, entity.id.0);
        for end in &self.links {
            check_end(tx.conn()?, origin.workspace, *end)?;
        }
        if let Some(Files {
            members,
            fields,
            ids,
        }) = &self.files
        {
            let mut members = members.clone();
            bind(tx, origin, entity.kind, &mut members, fields, ids)?;
            entity.to_mut().members = rules::to_text(&members).map_err(|fault| vec![fault])?;
        }
        entity::insert(tx, &entity);
        tx.append(NewEvent::create(
            self.event,
            origin,
            me,
            rules::snapshot(me.1, &entity.members),
        ));
        for end in &self.links {
            entity::insert_first_link(tx, origin.workspace, me, *end);
            tx.append(NewEvent::link(
                EventId::generate(origin.at),
                origin,
                me,
                *end,
            ));
        }
        if !self.phones.is_empty() {
            owners::note_first(tx, origin, me, &self.phones)?;
        }
        let place = EntityRef {
            kind: entity.kind,
            id: entity.id,
        };
        let ties = self.links.iter().any(|end| rights::link_grants([me, *end]));
        Ok(Changed {
            model: model(&entity, &self.links()),
            rights: noted(tx, (self.grants || ties).then_some(place)),
        })
    }
}

/// Refuses an end of a link that does not exist.
pub(super) fn check_end(
    conn: &mut Conn,
    workspace: WorkspaceId,
    (kind, id): event::Entity,
) -> Result<()> {
    let is_there = if kind == EntityKind::Communication {
        record::find(conn, workspace, EntityId(id))?.is_some()
    } else {
        let found = entity::find(conn, workspace, kind, EntityId(id))?;
        found.is_some_and(|found| found.deleted_at.is_none())
    };
    if is_there {
        Ok(())
    } else {
        Err(missing(kind, id))
    }
}

/// Makes files permanent and puts their permanent ids into the members.
pub(super) fn bind(
    tx: &mut Tx<'_>,
    origin: &Origin,
    kind: EntityKind,
    members: &mut Object,
    fields: &[String],
    ids: &[Uuid],
) -> Result<()> {
    let mut permanent: Vec<(Uuid, Uuid)> = Vec::with_capacity(ids.len());
    for id in ids {
        let bound = file::bind(tx, origin.workspace, FileId(*id), None, origin.at)?;
        let bound = bound.ok_or_else(|| Error::NotFound(format!("File {id}")))?;
        permanent.push((*id, bound.id.0));
    }
    replace_files(kind, members, fields, &mut |id| {
        let known = permanent.iter().find(|(temporary, _)| *temporary == id);
        known.map_or(id, |(_, permanent)| *permanent)
    });
    Ok(())
}
