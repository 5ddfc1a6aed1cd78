//! Whom a connection trusts: TLS as each `sslmode` of libpq demands it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys,
    RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Address;
use super::certificate::{is_for, key_of_old, vouched};
use super::protection::Protection;
use super::said::{broken_trust, said};

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
        source: VerifierBuilderError,
    },
}

/// Makes what a connection to `address` shakes hands with.
pub(super) fn connector(address: &Address) -> Result<MakeRustlsConnect, TrustError> {
    let (mut inner, mut named) = (None, Vec::new());
    if address.protection >= Protection::VerifyCa {
        named = address.root_cert.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let roots = Arc::new(roots(address.root_cert.as_deref())?);
        let revoked = address.revoked.as_deref().map(revocations).transpose()?.unwrap_or_default();
        if !revoked.is_empty() {
            // Who signs a list of what was taken back is asked for by the chain alone.
            named.clear();
        }
        let builder = WebPkiServerVerifier::builder_with_provider(roots, provider());
        inner =
            Some(builder.with_crls(revoked).build().map_err(|error| match (error, &address.revoked) {
                (VerifierBuilderError::InvalidCrl(error), Some(path)) => TrustError::File {
                    path: path.clone(),
                    why: format!("its list cannot be read: {error:?}"),
                },
                (other, _) => other.into(),
            })?);
    }
    let names = address.protection == Protection::VerifyFull;
    let verifier = Verifier { inner, named, names, provider: provider() };
    let builder = builder()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &address.client_cert {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder.with_client_cert_resolver(Arc::new(identity(cert, key)?)),
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Reads who we are. libpq does not use a key that others can read, so neither do we: its tools have to come in as well.
fn identity(cert: &Path, key: &Path) -> Result<SingleCertAndKey, TrustError> {
    let wrong = |why: &str| TrustError::File { path: key.to_owned(), why: why.to_owned() };
    let about = key.metadata().map_err(|error| wrong(&error.to_string()))?;
    // libpq-ssl, "Client Certificates": 0640 is enough where root owns it.
    let others = if about.uid() == 0 { 0o037 } else { 0o077 };
    if about.mode() & others != 0 {
        return Err(wrong("others can read it: chmod 600 it"));
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|_| wrong("it holds no private key that can be read; one under a password cannot"))?;
    let secret = provider().key_provider.load_private_key(secret)?;
    let own = CertifiedKey::new(certificates(cert)?, secret);
    match own.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(wrong(&format!("it is not the key of {}", cert.display())))
        }
        // A certificate of version 1 cannot be compared; the server will.
        _ => Ok(SingleCertAndKey::from(own)),
    }
}

/// What to do about a connection that is not protected as it should be; `None` where something else is the matter.
pub(super) fn advice(error: &postgres::Error, address: &Address) -> Option<String> {
    let text = said(error);
    if text.contains("does not support TLS") {
        return Some("turn `ssl` on in its postgresql.conf; or, if nobody else is on the way to it, give sslmode=disable".to_owned());
    }
    if text.contains("password missing") {
        return Some("put the password into ~/.pgpass (mode 0600) or PGPASSWORD".to_owned());
    }
    if text.contains("channel binding") {
        return Some(
            "channel_binding=require wants TLS and a password that the server keeps as scram-sha-256"
                .to_owned(),
        );
    }
    if error.as_db_error().is_some_and(|answer| answer.message().contains("client certificate")) {
        return Some(match &address.client_cert {
            None => "name yours with sslcert and its key with sslkey".to_owned(),
            Some((cert, _)) => format!("{} is not signed by whom the server trusts", cert.display()),
        });
    }
    let by = || match &address.root_cert {
        Some(path) => format!("by {}", path.display()),
        None => "by the authorities of this machine".to_owned(),
    };
    Some(match broken_trust(error)? {
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "write the name that the certificate is for into the address, and where the server is reached otherwise its number into hostaddr".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "renew the certificate of the server, or that of its authority".to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "compare the clocks of this machine and the server".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Revoked) => "it was taken back: the server needs another".to_owned(),
        Error::InvalidCertificate(_) => format!(
            "it was looked at {}; name the file with the certificate of the authority that signed it with sslrootcert",
            by()
        ),
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateRequired
            | AlertDescription::DecryptError,
        ) => match &address.client_cert {
            Some((cert, _)) => format!("the server does not take {}", cert.display()),
            None => "the server wants a certificate of ours: name it with sslcert and its key with sslkey".to_owned(),
        },
        _ => return None,
    })
}

/// Makes what a request to cancel a statement shakes hands with.
///
/// The certificate is not looked at: such a request carries nothing but the number of the session and the key that
/// cancels it (libpq sent it in the clear for decades), and it must not fail where the session itself came through.
pub(super) fn for_cancel() -> Option<MakeRustlsConnect> {
    static CONNECTOR: OnceLock<Option<MakeRustlsConnect>> = OnceLock::new();
    let make = || {
        let verifier = Verifier { inner: None, named: Vec::new(), names: false, provider: provider() };
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

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TrustError> {
    let wrong = |why: String| TrustError::File { path: path.to_owned(), why };
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_file_iter(path)
        .map_err(|error| wrong(error.to_string()))?
        .collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("it holds no list of certificates".to_owned())) } else { Ok(found) }
}

/// Looks at a certificate as far as the mode asks: not at all, at who signed it, or also at whose it is.
#[derive(Debug)]
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of the file that the operator named.
    named: Vec<CertificateDer<'static>>,
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
        let algorithms = &self.provider.signature_verification_algorithms;
        if let Some(judged) = vouched(end, &self.named, algorithms, now) {
            judged?;
        } else {
            match inner.verify_server_cert(end, between, name, ocsp, now) {
                // The name is looked at after the chain was found good (rustls, client/verifier), so nothing else is let by.
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => {}
                other => return other,
            }
        }
        if self.names {
            is_for(end, name)?;
        }
        Ok(ServerCertVerified::assertion())
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
        let algorithms = &self.provider.signature_verification_algorithms;
        match key_of_old(cert) {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, signed, algorithms),
            None => verify_tls13_signature(message, cert, signed, algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
