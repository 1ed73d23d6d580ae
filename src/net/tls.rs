//! TLS on both sides: rustls with ring, TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
//!
//! - An endpoint is verified against the system's certificates, or against the given ones alone.
//! - Equal client settings share one configuration, and with it their session tickets; it lives as long as its users.
//! - No error shows a key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, client::WantsClientCert};
use rustls_platform_verifier::BuilderVerifierExt;
use sha2::{Digest, Sha256};

use crate::config::Secret;

const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS could not be set up.
#[derive(Debug)]
pub enum TlsError {
    /// The text holds no readable certificate; says what was looked for.
    Certificate(&'static str),
    /// The text holds no readable private key; says what was looked for.
    Key(&'static str),
    /// The system has no certificates to verify endpoints with.
    NoRoots,
    /// Certificate and key do not belong together, or the like.
    Rejected(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(what) => write!(f, "no PEM certificate found in {what}"),
            Self::Key(what) => write!(f, "no unencrypted PEM private key found in {what}"),
            Self::NoRoots => f.write_str(
                "the system has no CA certificates: install them (package `ca-certificates`), or set `ca_file`",
            ),
            Self::Rejected(error) => write!(f, "certificate and key cannot be used: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rejected(error) => Some(error),
            _ => None,
        }
    }
}

/// What TLS itself said, where `cause` comes from it.
pub fn reason(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    cause.downcast_ref::<rustls::Error>().map(ToString::to_string)
}

/// What a listener needs to serve HTTPS: its certificate chain and its key, in PEM.
pub fn server_config(cert_pem: &[u8], key_pem: &Secret) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(cert_pem, "the listener's certificate file")?;
    let key = private_key(key_pem, "the listener's key")?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(TlsError::Rejected)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(TlsError::Rejected)?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

/// Turns accepted sockets into TLS streams. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor(tokio_rustls::TlsAcceptor);

impl Acceptor {
    /// Accepts with this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(config.into())
    }

    /// The handshake. It has no limit of its own.
    pub async fn accept(
        &self,
        stream: tokio::net::TcpStream,
    ) -> std::io::Result<tokio_rustls::server::TlsStream<tokio::net::TcpStream>> {
        self.0.accept(stream).await
    }
}

/// How an endpoint is verified, and what is shown to it. The default: the system's certificates, nothing.
#[derive(Clone, Copy, Default)]
pub struct ClientTls<'a> {
    /// PEM certificates to trust instead of the system's.
    pub ca_pem: Option<&'a [u8]>,
    /// PEM certificate chain and key shown to the endpoint.
    pub client_cert: Option<(&'a [u8], &'a Secret)>,
}

impl ClientTls<'_> {
    /// Equal settings have equal digests.
    pub(super) fn digest(&self) -> [u8; 32] {
        let (chain, key) = self.client_cert.unzip();
        let parts = [self.ca_pem, chain, key.map(|key| key.expose().as_bytes())];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update([u8::from(part.is_some())]);
            hash.update(part.map_or(0, <[u8]>::len).to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        hash.finalize().into()
    }
}

/// The configuration for these settings: the one already in use for equal settings, else a new one.
pub fn client_config(tls: &ClientTls<'_>) -> Result<Arc<ClientConfig>, TlsError> {
    static IN_USE: LazyLock<Mutex<HashMap<[u8; 32], Weak<ClientConfig>>>> = LazyLock::new(Mutex::default);
    let digest = tls.digest();
    // The map is whole between any two statements: a panic elsewhere cannot have broken it.
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = in_use.get(&digest).and_then(Weak::upgrade) {
        return Ok(config);
    }
    let config = Arc::new(new_client_config(tls)?);
    in_use.retain(|_, config| config.strong_count() > 0);
    in_use.insert(digest, Arc::downgrade(&config));
    Ok(config)
}

fn new_client_config(tls: &ClientTls<'_>) -> Result<ClientConfig, TlsError> {
    let builder = verifying(tls.ca_pem)?;
    let mut config = match tls.client_cert {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates(chain, "`client_cert.cert`")?;
            let key = private_key(key, "`client_cert.key`")?;
            builder.with_client_auth_cert(chain, key).map_err(TlsError::Rejected)?
        }
    };
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

fn verifying(ca_pem: Option<&[u8]>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(TlsError::Rejected)?;
    let Some(pem) = ca_pem else {
        return builder.with_platform_verifier().map_err(|_| TlsError::NoRoots);
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "`ca_file`")? {
        roots.add(certificate).map_err(TlsError::Rejected)?;
    }
    Ok(builder.with_root_certificates(roots))
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or(TlsError::Certificate(what))
}

fn private_key(pem: &Secret, what: &'static str) -> Result<PrivateKeyDer<'static>, TlsError> {
    // The reader's own error may quote the text.
    PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| TlsError::Key(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    fn certificate() -> (Vec<u8>, Secret) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["api.test".to_owned()]).expect("a name");
        (cert.pem().into_bytes(), Secret::new(signing_key.serialize_pem()))
    }

    #[test]
    fn equal_settings_share_one_configuration_while_it_is_used() {
        let ((ca, _), (other_ca, key)) = (certificate(), certificate());
        let same_ca = ca.clone();
        let config = |ca_pem, client_cert| client_config(&ClientTls { ca_pem, client_cert }).expect("usable");
        let first = config(Some(ca.as_slice()), None);
        assert!(Arc::ptr_eq(&first, &config(Some(&same_ca), None)));
        for different in [config(Some(&other_ca), None), config(Some(&ca), Some((&other_ca, &key)))] {
            assert!(!Arc::ptr_eq(&first, &different));
        }
        let weak = Arc::downgrade(&first);
        drop(first);
        assert!(weak.upgrade().is_none(), "kept without a user");
    }

    #[test]
    fn what_is_no_certificate_or_key_is_said_without_showing_it() {
        let ((chain, key), (_, other_key)) = (certificate(), certificate());
        for (chain, key, what) in [
            (b"canary".as_slice(), key.clone(), "no PEM certificate found in the listener's certificate file"),
            (&chain, Secret::new("canary"), "no unencrypted PEM private key found in the listener's key"),
            (&chain, other_key, "certificate and key cannot be used: "),
        ] {
            let error = server_config(chain, &key).expect_err(what);
            assert!(error.to_string().starts_with(what), "{error}");
            assert!(!format!("{error:?} {error}").contains("canary"));
        }
        assert!(matches!(
            client_config(&ClientTls { ca_pem: Some(b""), client_cert: None }),
            Err(TlsError::Certificate("`ca_file`"))
        ));
    }
}
