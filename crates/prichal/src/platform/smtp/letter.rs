//! The text of a mail.

use std::{
    str::FromStr as _,
    time::{Duration, UNIX_EPOCH},
};

use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Mailbox, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};
use prichal_core::time::Timestamp;
use uuid::Uuid;

/// The maximum number of bytes of an address (RFC 5321 §4.5.3.1.3, without the angle brackets).
const MAX_ADDRESS: usize = 254;

/// A mail in plain text.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    /// Stays the same when the mail is sent again, so that a receiver can drop a repetition.
    pub id: Uuid,
    pub to: &'a str,
    pub subject: &'a str,
    pub body: &'a str,
    pub written_at: Timestamp,
}

/// Parses the address of a recipient.
///
/// Quoted names are refused, since hardly anybody has one and many programs misread them. Literal addresses of hosts
/// are refused as well, since they would let a workspace choose the host that the SMTP server calls.
pub fn address(text: &str) -> Option<Address> {
    let is_plain =
        |one: char| !one.is_whitespace() && !one.is_control() && !"\"[]()<>,;:\\".contains(one);
    let is_plain = text.len() <= MAX_ADDRESS && text.chars().all(is_plain);
    let address = Address::from_str(text).ok().filter(|_| is_plain)?;
    // A host without a name has only digits at its end.
    let last = address.domain().rsplit('.').next().unwrap_or_default();
    let is_name = last.contains(|one: char| !one.is_ascii_digit());
    is_name.then_some(address)
}

impl Letter<'_> {
    /// The envelope and the text of the mail, or the reason why there is none.
    pub(super) fn compose(&self, from: &Mailbox) -> Result<(Envelope, Vec<u8>), String> {
        let to = address(self.to).ok_or("the address of the recipient is not valid")?;
        // A line break would begin another header.
        let subject: String = self
            .subject
            .chars()
            .map(|one| if one.is_control() { ' ' } else { one })
            .collect();
        let micros = u64::try_from(self.written_at.micros()).unwrap_or(0);
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .date(UNIX_EPOCH + Duration::from_micros(micros))
            .message_id(Some(format!("<{}@{}>", self.id, from.email.domain())))
            // Keeps answers of absent people away (RFC 3834).
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .singlepart(
                SinglePart::builder()
                    .header(ContentType::TEXT_PLAIN)
                    .header(ContentTransferEncoding::QuotedPrintable)
                    .body(self.body.to_owned()),
            )
            .map_err(|_| "the mail cannot be composed")?;
        Ok((message.envelope().clone(), message.formatted()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_recipients() {
        for good in [
            "ops@example.com",
            "first.last+tag@mail.example.com",
            "o'neil@example.com",
            "ops@1.example",
            "почта@пример.рф",
            "ops@localhost",
        ] {
            assert!(address(good).is_some(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "",
            "ops",
            "@example.com",
            "ops@",
            "ops@example.com\r\nBcc: x@example.com",
            "ops@example.com\n",
            "ops @example.com",
            "ops@exam ple.com",
            "Ops <ops@example.com>",
            "<ops@example.com>",
            "ops@example.com,x@example.com",
            "\"ops\"@example.com",
            "\"o\r\np\"@example.com",
            "ops@[127.0.0.1]",
            "ops@[IPv6:::1]",
            "ops@127.0.0.1",
            "ops@2130706433",
            "ops@example.com(comment)",
            "a@b@example.com",
            &long,
        ] {
            assert!(address(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_mail_is_plain_text_with_a_stable_id() {
        let from = Mailbox::from_str("Prichal <hub@example.com>").expect("a mailbox");
        let letter = Letter {
            id: Uuid::from_u128(7),
            to: "ops@example.com",
            subject: "Вебхук не отвечает",
            body: "Адрес: https://bot.example/?a=b\nКонец.\n.\nAfter a dot.\n",
            written_at: Timestamp::from_micros(1_767_225_600_000_000),
        };
        let (envelope, text) = letter.compose(&from).expect("a mail");
        let text = String::from_utf8(text).expect("ASCII");
        assert!(text.is_ascii());
        assert_eq!(
            envelope.from().map(ToString::to_string).as_deref(),
            Some("hub@example.com")
        );
        assert_eq!(envelope.to().len(), 1);
        for line in [
            "From: Prichal <hub@example.com>",
            "To: ops@example.com",
            "Date: Thu, 01 Jan 2026 00:00:00 +0000",
            "Message-ID: <00000000-0000-0000-0000-000000000007@example.com>",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: quoted-printable",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
        assert!(text.contains("a=3Db\r\n"), "{text}");
        assert_eq!(
            text,
            String::from_utf8(letter.compose(&from).expect("a mail").1).expect("ASCII")
        );
    }

    #[test]
    fn no_text_of_a_workspace_becomes_a_header() {
        let from = Mailbox::from_str("hub@example.com").expect("a mailbox");
        for subject in [
            "Hook\r\nBcc: evil@example.com",
            "Hook\nBcc: evil@example.com",
            "Hook\rBcc: evil@example.com",
            "Крюк\r\n\r\nBcc: evil@example.com",
            "Hook\u{85}Bcc: evil@example.com",
            "Hook\0Bcc: evil@example.com",
        ] {
            let letter = Letter {
                id: Uuid::nil(),
                to: "ops@example.com",
                subject,
                body: "x\r\n.\r\nMAIL FROM:<evil@example.com>\r\n",
                written_at: Timestamp::default(),
            };
            let (envelope, text) = letter.compose(&from).expect("a mail");
            let text = String::from_utf8(text).expect("ASCII");
            let head = text.split("\r\n\r\n").next().expect("a head");
            assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
            assert!(
                !head.replace("\r\n", "").contains(char::is_control),
                "{head}"
            );
            assert_eq!(envelope.to().len(), 1);
        }
    }
}
