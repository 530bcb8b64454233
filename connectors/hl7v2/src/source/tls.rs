//! TLS of the listener, mutual if the site names the authorities of its senders.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::listener::SourceError;
use crate::config::TlsConfig;

/// Reads the files and prepares TLS 1.2 and 1.3.
pub(super) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, SourceError> {
    let chain = certificates(&config.certificate_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file).map_err(|error| refused(&config.key_file, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&config.certificate_file, &error))?;
    let builder = match &config.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(file)? {
                roots.add(authority).map_err(|error| refused(file, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| refused(file, &error))?)
        }
    };
    let server = builder.with_single_cert(chain, key).map_err(|error| refused(&config.certificate_file, &error))?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| refused(file, &error))?;
    let all = read.collect::<Result<Vec<_>, _>>().map_err(|error| refused(file, &error))?;
    if all.is_empty() {
        return Err(refused(file, &"the file holds no certificate"));
    }
    Ok(all)
}

fn refused(file: &Path, reason: &dyn std::fmt::Display) -> SourceError {
    SourceError::Tls { file: file.to_owned(), reason: reason.to_string() }
}
