//! A certificate authority of the tests' own, with one certificate for `localhost` and the loopback addresses.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority, and the certificate it signed.
pub(crate) struct Ca {
    /// The authority's certificate in PEM, for `ca_file`.
    pub(crate) pem: String,
    /// The server's certificate in PEM.
    pub(crate) cert: String,
    /// The server's private key in PEM.
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        let pem = params.self_signed(&key).expect("the parameters are complete").pem();
        let issuer = Issuer::new(params, key);
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let leaf_key = KeyPair::generate().expect("there is randomness");
        let leaf = CertificateParams::new(names).expect("the names are valid").signed_by(&leaf_key, &issuer);
        Self { pem, cert: leaf.expect("the parameters are complete").pem(), key: leaf_key.serialize_pem() }
    }

    /// The accepting side, offering these protocols.
    pub(crate) fn acceptor(&self, alpn: &[&str]) -> TlsAcceptor {
        let certs = vec![CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("we wrote it")];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("we wrote it");
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("the provider knows TLS 1.2 and 1.3").with_no_client_auth();
        let mut config = builder.with_single_cert(certs, key).expect("key and certificate belong together");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config).into()
    }

    /// The connecting side, which trusts this authority alone.
    pub(crate) fn connector(&self, alpn: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("we wrote it"))
            .expect("it is an authority");
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("the provider knows TLS 1.2 and 1.3");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config).into()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
