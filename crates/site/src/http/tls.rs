//! Trust: ring for the cryptography, and the machine's own certificate authorities.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

/// Where distributions keep their bundle (the places that Go's crypto/x509 looks in).
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Returns the configuration, read once, or where authorities were looked for in vain.
pub(super) fn config() -> Result<TlsConfig, String> {
    static ROOTS: OnceLock<Option<Arc<Vec<Certificate<'static>>>>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| bundles().iter().find_map(|path| read(path)).map(Arc::new));
    let Some(roots) = roots else {
        return Err(bundles().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "));
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::Specific(roots.clone()))
        .build())
}

pub(crate) fn bundles() -> Vec<PathBuf> {
    match std::env::var_os("SSL_CERT_FILE") {
        Some(path) => vec![path.into()],
        None => BUNDLES.iter().map(PathBuf::from).collect(),
    }
}

fn read(path: &PathBuf) -> Option<Vec<Certificate<'static>>> {
    let pem = std::fs::read(path).ok()?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let certificates: Vec<_> = parse_pem(&pem).filter_map(certificate).collect();
    (!certificates.is_empty()).then_some(certificates)
}
