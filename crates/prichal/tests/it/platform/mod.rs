//! Several nodes, and the share of each workspace.

mod fairness;
mod jobs;
mod nodes;
mod write_limits;
