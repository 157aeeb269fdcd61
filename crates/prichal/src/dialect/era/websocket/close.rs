//! The reasons for which the server closes a websocket, and their codes (RFC 6455 §7.4).

use std::fmt::Write as _;

use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    Stopping,
    NotProtocol,
    NotText,
    NotUtf8,
    Endless,
    NotReading,
    ChannelGone,
    TooLong,
    TooMany,
    NoStorage,
    NoMemory,
}

impl CloseReason {
    const ALL: [Self; 11] = [
        Self::Stopping,
        Self::NotProtocol,
        Self::NotText,
        Self::NotUtf8,
        Self::Endless,
        Self::NotReading,
        Self::ChannelGone,
        Self::TooLong,
        Self::TooMany,
        Self::NoStorage,
        Self::NoMemory,
    ];

    const fn code(self) -> CloseCode {
        match self {
            Self::Stopping => CloseCode::Away,
            Self::NotProtocol => CloseCode::Protocol,
            Self::NotText => CloseCode::Unsupported,
            Self::NotUtf8 => CloseCode::Invalid,
            Self::Endless | Self::NotReading | Self::ChannelGone => CloseCode::Policy,
            Self::TooLong => CloseCode::Size,
            Self::TooMany | Self::NoStorage | Self::NoMemory => CloseCode::Again,
        }
    }

    /// The reason in the close frame.
    const fn text(self) -> &'static str {
        match self {
            Self::Stopping => "the server stops",
            Self::NotProtocol => "this is not the protocol",
            Self::NotText => "frames are text",
            Self::NotUtf8 => "a frame is not UTF-8",
            Self::Endless => "a message does not end",
            Self::NotReading => "the client does not read",
            Self::ChannelGone => "the channel is gone",
            Self::TooLong => "a message is longer than 1 MiB",
            Self::TooMany => "there are too many websockets",
            Self::NoStorage => "the server cannot reach its storage",
            Self::NoMemory => "the server has no memory for it now",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Stopping => "Connect again, to any node.",
            Self::NotProtocol => "Send frames as RFC 6455 has them.",
            Self::NotText => "Send text frames.",
            Self::NotUtf8 => "Send text in UTF-8.",
            Self::Endless => "Send a whole message within 30 seconds.",
            Self::NotReading => "Read what the server sends, then connect again.",
            Self::ChannelGone => {
                "The channel or its token was deleted or replaced. Ask its administrator."
            }
            Self::TooLong => "Send shorter messages; large content goes over HTTP.",
            Self::TooMany => "Close websockets that are not used, then connect again.",
            Self::NoStorage | Self::NoMemory => "Connect again after a while.",
        }
    }

    pub(super) fn frame(self) -> CloseFrame {
        CloseFrame {
            code: self.code(),
            reason: self.text().into(),
        }
    }
}

/// The close codes as a table in Markdown.
pub(in crate::dialect::era) fn table() -> String {
    let mut table = "\nThe server closes a websocket with these codes:\n\n\
                     | code | reason | what to do |\n|---|---|---|\n"
        .to_owned();
    for reason in CloseReason::ALL {
        let code = u16::from(reason.code());
        // Writing into a `String` cannot fail.
        let _ = writeln!(
            table,
            "| `{code}` | {} | {} |",
            reason.text(),
            reason.remedy()
        );
    }
    table
}
