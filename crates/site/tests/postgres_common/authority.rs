//! Certificates made for a test, as an administrator makes them: with the command `openssl`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the sections of a certificate's configuration say.
const CONFIG: &str = "[req]\ndistinguished_name = dn\n[dn]\n[ca]\nbasicConstraints = critical, CA:TRUE\nsubjectKeyIdentifier = hash\n\
    [san]\nsubjectAltName = DNS:localhost\nbasicConstraints = CA:FALSE\n\
    [lists]\ndefault_ca = list\n[list]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\ndefault_crl_days = 5\n";
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// A folder of certificates: `NAME.crt` and `NAME.key`.
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    pub fn new(folder: &Path) -> Certificates {
        fs::create_dir_all(folder).unwrap();
        // The server's user has to come in.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.join("config"), CONFIG).unwrap();
        Certificates { folder: folder.to_owned() }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl").args(args).current_dir(&self.folder).output();
        let output = output.expect("openssl is needed (Debian: openssl)");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// One that signed itself, and says that it is an authority.
    pub fn authority(&self, name: &str, host: &str) {
        let (cert, key, subject) = (format!("{name}.crt"), format!("{name}.key"), format!("/CN={host}"));
        let head =
            ["req", "-x509", "-config", "config", "-extensions", "ca", "-days", "9", "-subj", &subject];
        self.openssl(&[&head[..], &KEY, &["-keyout", &key, "-out", &cert]].concat());
    }

    /// One for `host` that the authority `by` signed: with the extensions of a section, or of version 1 without any.
    pub fn signed(&self, name: &str, host: &str, by: &str, section: Option<&str>, days: &str) {
        let (cert, key, asked) = (format!("{name}.crt"), format!("{name}.key"), format!("{name}.csr"));
        let (subject, of, with) = (format!("/CN={host}"), format!("{by}.crt"), format!("{by}.key"));
        let head = ["req", "-new", "-config", "config", "-subj", &subject, "-keyout", &key, "-out", &asked];
        self.openssl(&[&head[..], &KEY].concat());
        let sign = [
            "x509",
            "-req",
            "-in",
            &asked,
            "-CA",
            &of,
            "-CAkey",
            &with,
            "-CAcreateserial",
            "-days",
            days,
            "-out",
            &cert,
        ];
        let extensions = section.map_or(vec![], |section| vec!["-extfile", "config", "-extensions", section]);
        self.openssl(&[&sign[..], &extensions].concat());
    }

    /// The list of what the authority `by` took back: the certificate `name`, or nothing.
    pub fn list(&self, file: &str, by: &str, name: Option<&str>) {
        fs::write(self.path("index"), "").unwrap();
        fs::write(self.path("number"), "01\n").unwrap();
        let (of, with) = (format!("{by}.crt"), format!("{by}.key"));
        let head = ["ca", "-config", "config", "-name", "list", "-cert", &of, "-keyfile", &with];
        if let Some(name) = name {
            self.openssl(&[&head[..], &["-revoke", &format!("{name}.crt")]].concat());
        }
        self.openssl(&[&head[..], &["-gencrl", "-out", file]].concat());
    }

    /// Copies a file to where the server looks for it; it must own its key and be alone in reading it.
    pub fn hand_over(&self, file: &str, to: &Path) {
        fs::copy(self.path(file), to).unwrap();
        fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
        let owner = to.parent().unwrap().metadata().unwrap();
        chown(to, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}
