//! The fields that readers of the service collections may name in `mask`, `filter` and `order`
//! (`docs/contracts/era.md §5`).

use super::query::{FieldNames, Kind};

/// Fields of a channel (`integration_points`).
pub static CHANNEL: FieldNames = FieldNames {
    known: &[
        "id",
        "code",
        "type",
        "token_local",
        "token_remote",
        "token_remote2",
        "url",
        "recv_svcscriptcode",
        "recv_svcscriptcode_ws",
        "send_svcscriptcode",
        "send_svcscriptcode_ws",
        "opts",
        "opts.title",
        "opts.comment",
        "opts.allow_files_api",
        "opts.issync",
        "opts.recv_timeout",
        "opts.roles",
        "opts.userid",
        "opts.ip_mask",
        "opts.filter_capabilities",
        "ext",
        "ext.ct",
        "ext.lwt",
    ],
    aliases: &[
        ("tokenlocal", "token_local"),
        ("tokenremote", "token_remote"),
        ("tokenremote2", "token_remote2"),
    ],
    seldom: &["opts.comment"],
    kinds: &[
        ("opts", Kind::Object),
        ("opts.allow_files_api", Kind::Bool),
        ("opts.issync", Kind::Bool),
        ("opts.recv_timeout", Kind::Int),
        ("opts.roles", Kind::List),
        ("opts.ip_mask", Kind::List),
        ("opts.filter_capabilities", Kind::List),
        ("ext", Kind::Object),
    ],
};

/// Fields of a channel type (`integration_point_types`).
pub static CHANNEL_TYPE: FieldNames = FieldNames {
    known: &[
        "id",
        "type",
        "recv_svcscriptcode",
        "recv_svcscriptcode_ws",
        "recv_timeout",
        "send_svcscriptcode",
        "send_svcscriptcode_ws",
        "url",
        "issync",
        "quota",
        "ext",
        "ext.ct",
        "ext.lwt",
    ],
    aliases: &[],
    seldom: &[],
    kinds: &[
        ("recv_timeout", Kind::Int),
        ("issync", Kind::Bool),
        ("quota", Kind::Int),
        ("ext", Kind::Object),
    ],
};

/// Fields of a script (`svcscripts`).
pub static SCRIPT: FieldNames = FieldNames {
    known: &[
        "id",
        "code",
        "name",
        "scriptdata",
        "scriptdata.language",
        "scriptdata.source",
        "projectid",
        "lwt",
        "opts",
        "opts.title",
        "opts.comment",
        "opts.loglevel",
        "opts.variables",
        "opts.as_admin",
        "ext",
        "ext.ct",
        "ext.lwt",
    ],
    aliases: &[],
    seldom: &["scriptdata", "opts.comment"],
    kinds: &[
        ("scriptdata", Kind::Object),
        ("opts", Kind::Object),
        ("opts.loglevel", Kind::Int),
        ("opts.variables", Kind::Object),
        ("opts.as_admin", Kind::Bool),
        ("ext", Kind::Object),
    ],
};
