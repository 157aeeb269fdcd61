//! The routes under `/api/v1`.

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    alerts, audit, authorization, callbacks, communications, dead_letters, deliveries,
    delivery_log, entities, event_log, event_types, feed, files, instances, integrations, links,
    mails, matches, oidc, preview, publish, replays, resends, retention, sessions, settings,
    stream, stream_tickets, system_calls, ui_settings, webhook_state, webhooks,
};
use crate::app::App;

#[expect(clippy::too_many_lines, reason = "a table of routes")]
pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(authorization::authorize_private_integration))
        .routes(routes!(authorization::authorize_integration))
        .routes(routes!(integrations::create_private_integration))
        .routes(routes!(
            integrations::create_public_integration,
            integrations::list_integrations
        ))
        .routes(routes!(integrations::replace_manifest))
        .routes(routes!(integrations::install_integration))
        .routes(routes!(integrations::uninstall_integration))
        .routes(routes!(integrations::create_api_key))
        .routes(routes!(integrations::setup_integration))
        .routes(routes!(instances::list_instances))
        .routes(routes!(instances::get_instance, instances::patch_instance))
        .routes(routes!(instances::pause_instance))
        .routes(routes!(instances::resume_instance))
        .routes(routes!(deliveries::list_deliveries))
        .routes(routes!(delivery_log::list_all_deliveries))
        .routes(routes!(delivery_log::get_delivery))
        .routes(routes!(resends::resend_delivery))
        .routes(routes!(resends::begin_resend, resends::list_resends))
        .routes(routes!(resends::get_resend))
        .routes(routes!(resends::cancel_resend))
        .routes(routes!(dead_letters::list_dead_letters))
        .routes(routes!(dead_letters::dismiss_dead_letter))
        .routes(routes!(audit::list_workspace_audit))
        .routes(routes!(mails::list_mails))
        .routes(routes!(mails::send_test_mail))
        .routes(routes!(replays::replay_events))
        .routes(routes!(replays::list_replays))
        .routes(routes!(deliveries::test_webhook))
        .routes(routes!(webhooks::list_webhooks))
        .routes(routes!(webhooks::get_webhook, webhooks::patch_webhook))
        .routes(routes!(webhooks::get_public_key))
        .routes(routes!(webhook_state::get_webhook_state))
        .routes(routes!(preview::preview_webhook))
        .routes(routes!(matches::match_filter))
        .routes(routes!(alerts::list_alerts))
        .routes(routes!(alerts::get_alert))
        .routes(routes!(alerts::acknowledge_alert))
        .routes(routes!(
            alerts::get_alert_settings,
            alerts::patch_alert_settings
        ))
        .routes(routes!(
            ui_settings::find_ui_setting,
            ui_settings::put_ui_setting
        ))
        .routes(routes!(
            ui_settings::get_ui_setting,
            ui_settings::patch_ui_setting
        ))
        .routes(routes!(settings::get_settings, settings::patch_settings))
        .routes(routes!(sessions::create_login_link))
        .routes(routes!(sessions::list_sessions))
        .routes(routes!(sessions::end_session))
        .routes(routes!(oidc::get_oidc_settings, oidc::create_oidc_token))
        .routes(routes!(retention::get_retention, retention::put_retention))
        .routes(routes!(feed::read_feed, publish::publish_events))
        .routes(routes!(event_log::search_log))
        .routes(routes!(event_log::get_logged_event))
        .routes(routes!(
            event_types::list_event_types,
            event_types::create_event_type
        ))
        .routes(routes!(
            event_types::get_event_type,
            event_types::put_event_type,
            event_types::delete_event_type
        ))
        .routes(routes!(files::upload_file))
        .routes(routes!(files::download_file, files::head_file))
        .routes(routes!(files::get_file_meta))
        .routes(routes!(links::create_link, links::delete_link))
        .routes(routes!(communications::list_communications))
        .routes(routes!(communications::get_statistics))
        .routes(routes!(communications::follow_calls))
        .routes(routes!(stream_tickets::issue_ticket))
        .routes(routes!(stream::follow_workspace))
        .routes(routes!(stream_tickets::issue_stream_ticket))
        .routes(routes!(
            communications::get_communication,
            communications::delete_communication
        ))
        .routes(routes!(communications::restore_communication))
        .routes(routes!(system_calls::call_out))
        .routes(routes!(system_calls::hang_up))
        .routes(routes!(system_calls::hang_up_by_leg))
        .routes(routes!(callbacks::call_started))
        .routes(routes!(callbacks::call_event))
        .routes(routes!(callbacks::call_finished))
        .routes(routes!(callbacks::call_failed))
        .routes(routes!(callbacks::call_recording))
        .routes(routes!(callbacks::register_call))
        .routes(routes!(callbacks::call_redirect))
        .routes(routes!(entities::create_entity, entities::list_entities))
        .routes(routes!(entities::create_entities))
        .routes(routes!(
            entities::get_entity,
            entities::patch_entity,
            entities::delete_entity
        ))
        .routes(routes!(entities::restore_entity))
}
