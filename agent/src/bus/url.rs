//! The address of the broker, with its credentials, which nobody gets to see.

use std::{fmt, str::FromStr};

use lapin::uri::{AMQPScheme, AMQPUri};

/// `amqp://` or `amqps://`, user, password, host, port and virtual host. Shown without credentials.
#[derive(Clone)]
pub struct BrokerUrl(AMQPUri);

impl BrokerUrl {
    pub(super) fn uri(&self) -> &AMQPUri {
        &self.0
    }

    /// Name or address of the broker.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.authority.host
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.0.scheme == AMQPScheme::AMQPS
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    /// The error says what is wrong and what would be right, and nothing of the text itself.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RIGHT: &str = "right would be amqps://USER:PASSWORD@HOST:5671/%2f, \
                             with reserved characters percent-encoded";
        let text = text.trim();
        if !text.starts_with("amqp://") && !text.starts_with("amqps://") {
            return Err(format!("the address starts neither with amqps:// nor amqp://; {RIGHT}"));
        }
        let uri = AMQPUri::from_str(text)
            .map_err(|_| format!("the address of the broker can't be read; {RIGHT}"))?;
        if uri.authority.host.is_empty() {
            return Err(format!("the address of the broker has no host; {RIGHT}"));
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.0;
        write!(f, "{scheme}://{}:{} virtual host {vhost}", authority.host, authority.port)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credentials_are_never_shown() {
        let url: BrokerUrl = "amqps://someone:s3cret@mq.example:5671/%2f\n".parse().expect("right");
        assert!(url.tls());
        for shown in [url.to_string(), format!("{url:?}")] {
            assert!(shown.contains("amqps://mq.example:5671 virtual host /"), "{shown}");
            assert!(!shown.contains("someone") && !shown.contains("s3cret"), "{shown}");
        }
        for wrong in [
            "amqps://someone:s3cret@mq.example:port/",
            "someone:s3cret@mq.example",
            "https://someone:s3cret@mq.example/",
            "amqp://someone:s3cret@/",
        ] {
            let error = wrong.parse::<BrokerUrl>().expect_err(wrong);
            assert!(!error.contains("someone") && !error.contains("s3cret"), "{error}");
            assert!(error.contains("right would be amqps://"), "{error}");
        }
    }
}
