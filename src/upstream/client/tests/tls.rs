//! TLS: verified on both sides, with HTTP/1.1 where the peer speaks nothing else.
#![expect(clippy::large_futures, reason = "the peers are scripted inside the test's own future")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::super::SendErrorKind;
use super::*;
use crate::config::Secret;
use crate::net::tls::server_config;

/// A private CA, and a certificate for `localhost` signed by it.
pub(super) struct Certificates {
    ca: String,
    chain: String,
    key: Secret,
}

impl Certificates {
    pub(super) fn new() -> Self {
        Self::of("A Private CA")
    }

    fn of(ca: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, ca);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let chain = params.signed_by(&key, &ca).expect("signed").pem();
        Self { ca: ca.pem(), chain, key: Secret::new(key.serialize_pem()) }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(server_config(self.chain.as_bytes(), &self.key).expect("a usable certificate"))
    }

    pub(super) fn target(&self, peer: &Peer) -> Arc<Target> {
        let tls = ClientTls { ca_pem: Some(self.ca.as_bytes()), client_cert: None };
        target(&localhost(peer), tls, Proxy::None)
    }
}

pub(super) fn localhost(peer: &Peer) -> String {
    format!("https://localhost:{}", peer.address().port())
}

#[tokio::test]
async fn without_http2_each_request_has_its_own_connection() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let target = certificates.target(&peer);
        let mut config =
            ServerConfig::clone(&server_config(certificates.chain.as_bytes(), &certificates.key).expect("usable"));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        let script = async {
            let mut streams = Vec::new();
            for _ in 0..5 {
                let mut stream = tls.accept(peer.accept().await.stream).await.expect("a TLS client");
                stream.read_u8().await.expect("a request");
                streams.push(stream);
            }
            for stream in &mut streams {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("a listening client");
                stream.flush().await.expect("a listening client");
            }
            streams
        };
        let requests = async {
            let send = || async { text(client.send(&target, || get("/")).await).await };
            tokio::join!(send(), send(), send(), send(), send())
        };
        let (_streams, (one, ..)) = tokio::join!(script, requests);
        assert_eq!(one, "ok");
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_of_an_unknown_ca_is_not_spoken_to() {
    on_a_worker(async {
        let (client, peer, certificates) = (client(), Peer::new().await, Certificates::new());
        let target = Certificates::of("Another CA").target(&peer);
        let tls = certificates.acceptor();
        let script = async { tls.accept(peer.accept().await.stream).await.map(drop) };
        let (served, answer) = tokio::join!(script, client.send(&target, || get("/")));
        let error = answer.expect_err("an unknown CA");
        assert_eq!(error.kind, SendErrorKind::Tls);
        assert!(error.to_string().contains("`ca_file`"), "{error}");
        served.expect_err("the client refused");
    })
    .await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_set() {
    on_a_worker(async {
        let (peer, certificates) = (Peer::new().await, Certificates::new());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificates.ca.as_bytes()).expect("PEM")).expect("a CA");
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
        let chain = vec![CertificateDer::from_pem_slice(certificates.chain.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(certificates.key.expose().as_bytes()).expect("PEM");
        let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key);
        let tls = TlsAcceptor::from(Arc::new(config.expect("a usable certificate")));

        let refused = async { tls.accept(peer.accept().await.stream).await.map(drop).expect_err("no certificate") };
        let (_, answer) =
            tokio::join!(refused, async { client().send(&certificates.target(&peer), || get("/")).await });
        let error = answer.expect_err("no certificate");
        assert_eq!(error.kind, SendErrorKind::Tls, "{error}");

        let settings = ClientTls {
            ca_pem: Some(certificates.ca.as_bytes()),
            client_cert: Some((certificates.chain.as_bytes(), &certificates.key)),
        };
        let target = target(&localhost(&peer), settings, Proxy::None);
        let served = async {
            let mut stream = tls.accept(peer.accept().await.stream).await.expect("a known client");
            stream.read_u8().await.expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("a listening client");
            stream.flush().await.expect("a listening client");
            stream
        };
        let (_stream, answer) = tokio::join!(served, async { text(client().send(&target, || get("/")).await).await });
        assert_eq!(answer, "ok");
    })
    .await;
}
