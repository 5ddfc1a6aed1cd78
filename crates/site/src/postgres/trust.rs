//! Whom a connection trusts: TLS as each `sslmode` of libpq demands it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, Protection};

/// Why a protected connection cannot be prepared. Nothing was contacted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// There is nobody to vouch for the server.
    #[error(
        "verify the server's certificate: no certificate authorities in {places}; name a file with sslrootcert"
    )]
    NoAuthorities {
        /// Where they were looked for.
        places: String,
    },
    /// A file of certificates or a key cannot be read.
    #[error("read {} for TLS: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificates do not fit together.
    #[error("set up TLS: {source}")]
    Tls {
        /// What is wrong.
        #[from]
        source: Error,
    },
    /// The authorities cannot be used.
    #[error("set up TLS: {source}")]
    Verifier {
        /// What is wrong.
        #[from]
        source: rustls::client::VerifierBuilderError,
    },
}

/// Makes what a connection to `address` shakes hands with.
pub(super) fn connector(address: &Address) -> Result<MakeRustlsConnect, TrustError> {
    let inner = match address.protection {
        Protection::VerifyCa | Protection::VerifyFull => {
            let roots = Arc::new(roots(address.root_cert.as_deref())?);
            Some(WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?)
        }
        Protection::Disable | Protection::Prefer | Protection::Require => None,
    };
    let names = address.protection == Protection::VerifyFull;
    let builder = builder()?.dangerous().with_custom_certificate_verifier(Arc::new(Verifier {
        inner,
        names,
        provider: provider(),
    }));
    let config = match &address.client_cert {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let wrong = |path: &Path, why: String| TrustError::File { path: path.to_owned(), why };
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
            builder.with_client_auth_cert(chain, key)?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Makes what a request to cancel a statement shakes hands with.
///
/// The certificate is not looked at: such a request carries nothing but the number of the session and the key that
/// cancels it (libpq sent it in the clear for decades), and it must not fail where the session itself came through.
pub(super) fn for_cancel() -> Option<MakeRustlsConnect> {
    static CONNECTOR: OnceLock<Option<MakeRustlsConnect>> = OnceLock::new();
    let make = || {
        let verifier = Verifier { inner: None, names: false, provider: provider() };
        let builder = builder().ok()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        Some(MakeRustlsConnect::new(builder.with_no_client_auth()))
    };
    CONNECTOR.get_or_init(make).clone()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

fn roots(named: Option<&Path>) -> Result<RootCertStore, TrustError> {
    let found = match named {
        Some(path) => certificates(path)?,
        None => {
            let places = crate::http::bundles();
            let found = places.iter().find_map(|path| certificates(path).ok());
            found.ok_or_else(|| TrustError::NoAuthorities {
                places: places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
            })?
        }
    };
    let mut roots = RootCertStore::empty();
    let (_, passed_over) = roots.add_parsable_certificates(found);
    match (roots.is_empty(), named) {
        (true, Some(path)) => Err(TrustError::File {
            path: path.to_owned(),
            why: format!("none of its {passed_over} certificates can be used as an authority"),
        }),
        _ => Ok(roots),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let wrong = |why: String| TrustError::File { path: path.to_owned(), why };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?.collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(found) }
}

/// Looks at a certificate as far as the mode asks: not at all, at who signed it, or also at whose it is.
#[derive(Debug)]
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    names: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(end, between, name, ocsp, now) {
            // The name is looked at after the chain was found good (rustls, client/verifier), so nothing else is let by.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.names => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
