//! The routes under `/rest/v1`, which requests over HTTP and the `rest` of a websocket share.

use prichal_core::{channel::Channel, channel_type::ChannelType, script::Script};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    channel_sockets as sockets, collection::with_lookup, integration_point_types as types,
    integration_points as points, integration_tokens as tokens, run_requests as requests,
    script_trials as trials, svcscript_runtimes as runtimes, svcscripts as scripts,
};
use crate::app::App;

pub(super) fn service() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(with_lookup::<Channel>(routes!(
            points::create_integration_point,
            points::list_integration_points
        )))
        .routes(routes!(
            points::get_integration_point,
            points::patch_integration_point,
            points::delete_integration_point
        ))
        .routes(routes!(points::rotate_token))
        .routes(routes!(sockets::list_sockets))
        .routes(routes!(points::send_message))
        .routes(routes!(points::list_message_attempts))
        .routes(with_lookup::<ChannelType>(routes!(
            types::create_integration_point_type,
            types::list_integration_point_types
        )))
        .routes(routes!(
            types::get_integration_point_type,
            types::patch_integration_point_type,
            types::delete_integration_point_type
        ))
        .routes(with_lookup::<Script>(routes!(
            scripts::create_svcscript,
            scripts::list_svcscripts
        )))
        .routes(routes!(
            scripts::get_svcscript,
            scripts::patch_svcscript,
            scripts::delete_svcscript
        ))
        .routes(routes!(trials::try_svcscript))
        .routes(routes!(trials::list_svcscript_versions))
        .routes(routes!(trials::get_svcscript_version))
        .routes(routes!(
            runtimes::start_svcscript,
            runtimes::list_svcscript_runtimes
        ))
        .routes(routes!(runtimes::get_svcscript_runtime))
        .routes(routes!(requests::get_svcscript_runtime_request))
        .routes(routes!(runtimes::retry_svcscript_runtime))
        .routes(routes!(tokens::check_token))
}
