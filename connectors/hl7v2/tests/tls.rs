//! MLLP over TLS, with and without a certificate of the sender.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{charge, listen};
use hl7v2::config::TlsConfig;
use hl7v2::mllp::{AckCode, ClientOptions, MllpClient};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn client(&self, own: Option<(String, String)>) -> ClientOptions {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        };
        ClientOptions {
            tls: Some(Arc::new(config)),
            server_name: Some("localhost".to_owned()),
            ..ClientOptions::default()
        }
    }
}

fn files(folder: &Path, authority: &Authority, mutual: bool) -> TlsConfig {
    let (certificate, key) = authority.sign("localhost");
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    TlsConfig {
        certificate_file: write("cert.pem", certificate),
        key_file: write("key.pem", key),
        client_ca_file: mutual.then(|| write("ca.pem", authority.issuer.pem())),
    }
}

#[tokio::test]
async fn speaks_tls() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let tls = files(folder.path(), &authority, false);
    let running = listen(|config| config.tls = Some(tls)).await;
    let mut client = MllpClient::connect(&running.address, authority.client(None)).await.unwrap();
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Aa));
}

#[tokio::test]
async fn asks_senders_for_their_certificate() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let tls = files(folder.path(), &authority, true);
    let running = listen(|config| config.tls = Some(tls)).await;
    let mut known = MllpClient::connect(&running.address, authority.client(Some(authority.sign("ehr")))).await.unwrap();
    assert_eq!(known.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Aa));
    // In TLS 1.3 the refusal arrives after the client's side of the handshake.
    let refused = match MllpClient::connect(&running.address, authority.client(None)).await {
        Ok(mut unknown) => unknown.send(&charge("2", "p")).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    assert_eq!(running.memory.ids(), ["1"]);
}
