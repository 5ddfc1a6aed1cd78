//! Certificates as PostgreSQL's manual has them made, which the rules of the web do not know: of version 1, signed by
//! themselves, with the name of the host as common name. libpq takes them, and so do we, from those whom the operator named.

use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::BasicConstraints;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ALTERNATIVE_NAMES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");

/// Returns the key of a certificate of version 1, which the handshake is to be signed with; `None` for any other.
pub(super) fn key_of_old(end: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let read = old(end)?;
    Some(SubjectPublicKeyInfoDer::from(read.tbs_certificate.subject_public_key_info.to_der().ok()?))
}

fn old(end: &CertificateDer<'_>) -> Option<Certificate> {
    let read = Certificate::from_der(end).ok()?;
    (read.tbs_certificate.version == Version::V1).then_some(read)
}

/// Judges a certificate that the rules of the web do not reach: one that signed itself and is among `named`, or one of
/// version 1 that somebody among `named` signed. `None` for any other; the name is not looked at.
pub(super) fn vouched(
    end: &CertificateDer<'_>,
    named: &[CertificateDer<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Option<Result<(), Error>> {
    let read = Certificate::from_der(end).ok()?;
    let itself = read.tbs_certificate.subject == read.tbs_certificate.issuer && named.contains(end);
    let signer = || {
        named
            .iter()
            .filter_map(|one| Certificate::from_der(one).ok())
            .find(|one| signed(&read, one, algorithms))
    };
    let chain = match (itself, read.tbs_certificate.version) {
        (true, _) => vec![read],
        (false, Version::V1) => match signer() {
            Some(signer) => vec![read, signer],
            None => return Some(Err(CertificateError::UnknownIssuer.into())),
        },
        (false, _) => return None,
    };
    Some(chain.iter().try_for_each(|one| in_time(one, now)))
}

/// Whether `one` signed `end`, and may sign.
fn signed(end: &Certificate, one: &Certificate, algorithms: &WebPkiSupportedAlgorithms) -> bool {
    let (body, signer) = (&end.tbs_certificate, &one.tbs_certificate);
    let extension = |wanted| signer.extensions.iter().flatten().find(move |one| one.extn_id == wanted);
    let constraints = extension(BASIC_CONSTRAINTS)
        .and_then(|found| BasicConstraints::from_der(found.extn_value.as_bytes()).ok());
    // One of version 1 cannot say that it is an authority; that it was named as one has to do.
    let may = signer.version == Version::V1 || constraints.is_some_and(|found| found.ca);
    if !may || body.issuer != signer.subject || body.signature != end.signature_algorithm {
        return false;
    }
    let key = &signer.subject_public_key_info;
    let (Some(of_key), Some(of_signature)) = (inside(&key.algorithm), inside(&end.signature_algorithm))
    else {
        return false;
    };
    let Ok(text) = body.to_der() else { return false };
    let fits = algorithms.all.iter().filter(|one| {
        one.public_key_alg_id().as_ref() == of_key && one.signature_alg_id().as_ref() == of_signature
    });
    let mut fits = fits.map(|one| {
        one.verify_signature(key.subject_public_key.raw_bytes(), &text, end.signature.raw_bytes())
    });
    fits.any(|verified| verified.is_ok())
}

/// The bytes of an algorithm without the frame of the sequence, as `AlgorithmIdentifier` of the verifier has them.
fn inside(algorithm: &impl Encode) -> Option<Vec<u8>> {
    let whole = algorithm.to_der().ok()?;
    Some(AnyRef::from_der(&whole).ok()?.value().to_vec())
}

fn in_time(one: &Certificate, now: UnixTime) -> Result<(), Error> {
    let (now, validity) = (Duration::from_secs(now.as_secs()), &one.tbs_certificate.validity);
    if now > validity.not_after.to_unix_duration() {
        return Err(CertificateError::Expired.into());
    }
    if now < validity.not_before.to_unix_duration() {
        return Err(CertificateError::NotValidYet.into());
    }
    Ok(())
}

/// Says whether a certificate is for this host: by its list of names, or by its common name where it has no list (libpq-ssl,
/// "Client Verification of Server Certificates").
pub(super) fn is_for(end: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let read = Certificate::from_der(end).map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let body = &read.tbs_certificate;
    if body.extensions.iter().flatten().any(|one| one.extn_id == ALTERNATIVE_NAMES) {
        return verify_server_name(&ParsedCertificate::try_from(end)?, name);
    }
    let common = body.subject.0.iter().flat_map(|part| part.0.iter()).find(|part| part.oid == COMMON_NAME);
    let common = common.and_then(|part| std::str::from_utf8(part.value.value()).ok()).unwrap_or_default();
    if fits(common, name) {
        return Ok(());
    }
    let presented = vec![format!("CN={common}")];
    Err(CertificateError::NotValidForNameContext { expected: name.to_owned(), presented }.into())
}

/// A star stands for one label, the first, as libpq reads it.
fn fits(pattern: &str, name: &ServerName<'_>) -> bool {
    let host = name.to_str();
    let starred = pattern.strip_prefix("*.").filter(|rest| rest.contains('.'));
    match (starred, name) {
        (Some(rest), ServerName::DnsName(_)) => {
            host.split_once('.').is_some_and(|(_, after)| after.eq_ignore_ascii_case(rest))
        }
        _ => pattern.eq_ignore_ascii_case(&host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_fits_as_libpq_reads_it() {
        let fit = |pattern: &str, host: &str| fits(pattern, &ServerName::try_from(host).unwrap());
        assert!(
            fit("db.example", "DB.example")
                && fit("*.db.example", "a.db.example")
                && fit("10.0.0.1", "10.0.0.1")
        );
        assert!(!fit("*.db.example", "db.example") && !fit("*.db.example", "a.b.db.example"));
        assert!(!fit("*.example", "db.example") && !fit("*.0.0.1", "10.0.0.1") && !fit("", "db.example"));
    }
}
