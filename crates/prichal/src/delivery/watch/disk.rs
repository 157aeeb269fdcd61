//! The disk with the data directory.

use prichal_core::alert::{Kind, Source, SourceKind, condition::Finding, settings::AlertSettings};
use prichal_store::{Conn, webhook};
use uuid::Uuid;

use super::findings::{About, Watch};
use crate::{delivery::Delivery, domain::alert::Observed, error::Result};

/// The percents of free space above the bound from which an alert is over.
const MARGIN: i64 = 2;

/// The free space of a disk and its size, in bytes.
fn space(app: &Delivery) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(&app.config.data_dir).ok()?;
    Some((
        found.f_bavail * found.f_frsize,
        found.f_blocks * found.f_frsize,
    ))
}

fn percent((free, all): (u64, u64)) -> i64 {
    let percent = u128::from(free) * 100 / u128::from(all.max(1));
    i64::try_from(percent).unwrap_or(i64::MAX)
}

/// Shows the free space in the metrics.
#[expect(clippy::cast_precision_loss, reason = "a gauge")]
pub(super) fn measure(app: &Delivery) {
    if let Some((free, _)) = space(app) {
        metrics::gauge!("prichal_disk_free_bytes").set(free as f64);
    }
}

impl Watch {
    /// The finding about a node's disk. `None` about the disk of another node, which looks at it itself.
    pub(super) fn disk(
        &self,
        conn: &mut Conn,
        node: Uuid,
        key: String,
        settings: &AlertSettings,
    ) -> Result<Option<Observed>> {
        let about = About {
            key,
            source: Source::new(SourceKind::Server, Some(node)),
            what: format!("The disk of the node {node}"),
        };
        if node != self.app.node {
            let living = webhook::list_nodes(conn, self.now)?;
            let is_living = living.iter().any(|(living, _)| *living == node);
            let gone = || about.observed(Kind::Disk, Finding::Clear, self.now);
            return Ok((!is_living).then(gone));
        }
        let Some(space) = space(&self.app) else {
            return Ok(None);
        };
        let (free, bound) = (percent(space), settings.disk_free_percent);
        let finding = if free < bound {
            Finding::Holds
        } else if free < bound + MARGIN {
            Finding::Between
        } else {
            Finding::Clear
        };
        let mut observed = about.observed(Kind::Disk, finding, self.now);
        observed.message = format!("{} has {free} % free", about.what);
        observed
            .details
            .insert("freePercent".to_owned(), free.into());
        observed
            .details
            .insert("freeBytes".to_owned(), space.0.into());
        Ok(Some(observed))
    }
}
