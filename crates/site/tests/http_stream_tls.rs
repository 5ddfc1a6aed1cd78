//! Transfers through encryption. A test of its own, since which authorities are trusted is read once a process.
#![allow(clippy::unwrap_used, missing_docs)]

mod http_common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use http_common::head_of;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use switchback_model::records::Shape;
use switchback_site::Tell;
use switchback_site::http::{Download, DownloadError, HttpError, Method, Upload, Url, download, upload};

const IDLE: Duration = Duration::from_millis(400);

/// For 127.0.0.1, signed by itself, good until 2120; known to nobody but this test.
const CERTIFICATE: &str = "\
     MIIBRDCB7KADAgECAgEBMAoGCCqGSM49BAMCMBoxGDAWBgNVBAMMD3N3aXRjaGJh\n\
     Y2sgdGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowGjEYMBYG\n\
     A1UEAwwPc3dpdGNoYmFjayB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n\
     AValJtdYnGSkGQbs4v15AR8KNw5z+1Ap+uLAEzLVvV0lQmlsrqvb0bXJlVbxjlxa\n\
     08UubZcMeSiy3PzjmHVj5KMhMB8wDwYDVR0RBAgwBocEfwAAATAMBgNVHRMBAf8E\n\
     AjAAMAoGCCqGSM49BAMCA0cAMEQCIB0T+clbtxnmWdmNsT2nKCZSlJddqn4x3N3c\n\
     3JCAyVoaAiBXVT7mMTFtAXcrKNyAL8V3ZhU5GfmlMM20EEzlaoLp9A==\n\
     ";
const KEY: &str = "\
     MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgS/lj4efwmDwj/C31\n\
     021PhNm166GvUvS5pJDwP4tPEdehRANCAAQBVqUm11icZKQZBuzi/XkBHwo3DnP7\n\
     UCn64sATMtW9XSVCaWyuq9vRtcmVVvGOXFrTxS5tlwx5KLLc/OOYdWPk\n\
     ";

fn pem(kind: &str, text: &str) -> String {
    format!("-----BEGIN {kind}-----\n{}-----END {kind}-----\n", text.replace(' ', ""))
}

type Stream = StreamOwned<ServerConnection, TcpStream>;
type Script = Box<dyn FnOnce(&mut Stream) + Send>;

fn serve(scripts: Vec<Script>) -> Url {
    let certificate = CertificateDer::from_pem_slice(pem("CERTIFICATE", CERTIFICATE).as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem("PRIVATE KEY", KEY).as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("https://{}/x", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        for script in scripts {
            let (stream, _) = listener.accept().unwrap();
            // A reset behind an answer that was still held back would take it along.
            stream.set_nodelay(true).unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            head_of(&mut stream);
            script(&mut stream);
        }
    });
    url
}

fn says(text: &str) -> Script {
    let text = text.to_owned();
    Box::new(move |stream| {
        // It hangs up without saying goodbye, as many do.
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.flush();
    })
}

#[test]
fn transfers_through_encryption_are_as_strict() {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, into) = (dir.path().join("bundle.pem"), dir.path().join("export"));
    std::fs::write(&bundle, pem("CERTIFICATE", CERTIFICATE)).unwrap();
    // SAFETY: this is the only test of its process, and nothing else runs yet.
    unsafe { std::env::set_var("SSL_CERT_FILE", &bundle) };

    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
    let silent = Box::new(|stream: &mut Stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{").unwrap();
        stream.flush().unwrap();
        let _ = stream.sock.read(&mut [0; 16]);
    });
    let url = serve(vec![
        says(&format!("{head}\r\n4\r\n{{}}{{}}\r\n0\r\n\r\n")),
        says(&format!("{head}\r\n4\r\n{{}}{{}}\r\n")),
        says(&format!("{head}Content-Encoding: gzip\r\n\r\n4\r\n{{}}{{}}\r\n0\r\n\r\n")),
        silent,
    ]);
    let ask = Download {
        url: &url,
        headers: &[],
        into: &into,
        shape: Some(Shape::Values),
        idle: IDLE,
        tries: 1,
        status: 200,
    };
    let tell = Tell::quiet();
    assert_eq!(download(&ask, &tell).unwrap().records, Some(2));
    let error = download(&ask, &tell).unwrap_err();
    assert!(matches!(&error, DownloadError::Http { source: HttpError::Broken { .. }, .. }), "{error:?}");
    let error = download(&ask, &tell).unwrap_err();
    assert!(matches!(&error, DownloadError::Encoded { .. }), "{error:?}");
    let error = download(&ask, &tell).unwrap_err();
    assert!(matches!(&error, DownloadError::Http { source: HttpError::Timeout { .. }, .. }), "{error:?}");

    let content = vec![b'x'; 24 << 20];
    std::fs::write(&into, &content).unwrap();
    let whole = Box::new(move |stream: &mut Stream| {
        let mut body = vec![0; 24 << 20];
        stream.read_exact(&mut body).unwrap();
        assert!(body == content);
        says("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")(stream);
    });
    let waits = Box::new(move |stream: &mut Stream| {
        says("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nlong")(stream);
        std::thread::sleep(IDLE * 3);
    });
    let url =
        serve(vec![whole, says("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nlong"), waits]);
    let ask = Upload {
        method: Method::Post,
        url: &url,
        headers: &[],
        from: &into,
        content_type: "application/json",
        idle: IDLE,
        answer_within: Duration::from_secs(20),
    };
    assert_eq!(upload(&ask, &tell).unwrap().status, 201);
    for how in ["hangs up", "waits"] {
        let answer = upload(&ask, &tell).unwrap_or_else(|error| panic!("{how}: {error}"));
        assert_eq!((answer.status, answer.body.as_slice()), (413, &b"long"[..]));
    }
}
