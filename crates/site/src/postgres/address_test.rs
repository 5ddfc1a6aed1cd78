use super::*;
use std::os::unix::fs::PermissionsExt;

fn around(pairs: &[(&str, &str)]) -> Surroundings {
    let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Surroundings { variables, home: None, user: Some("me".to_owned()) }
}

fn parse(text: &str) -> Address {
    Address::parse(text, &around(&[])).unwrap()
}

fn refusal(text: &str) -> String {
    Address::parse(text, &around(&[])).unwrap_err().to_string()
}

#[test]
fn urls_and_keywords_say_the_same() {
    for text in [
        "postgres://al%40ice@db.example:6000/a%20b?sslmode=verify-full",
        "postgresql://al%40ice@db.example:6000/a%20b?sslmode=verify-full&application_name=x",
        r"host=db.example port = 6000 user=al@ice dbname='a b' sslmode=verify-full",
    ] {
        let found = parse(text);
        assert_eq!((found.host.as_str(), found.port, found.user.as_str()), ("db.example", 6000, "al@ice"));
        assert_eq!((found.dbname.as_str(), found.protection), ("a b", Protection::VerifyFull));
        assert_eq!(found.place(), "db.example:6000/a b");
    }
    assert_eq!(parse("postgres://u@[::1]:7/d").host, "::1");
    assert_eq!(parse("postgres://u@%2Frun%2Fpg/d").host, "/run/pg");
    assert_eq!(parse(r"host=h dbname='it\'s \\'").dbname, r"it's \");
    assert_eq!(parse("postgres://h").dbname, "me");
}

#[test]
fn a_password_in_the_address_is_refused_and_not_repeated() {
    for text in [
        "postgres://u:hunter2@h/d",
        "postgres://u@h/d?password=hunter2",
        "host=h password=hunter2",
        "host=h sslpassword='hunter2'",
        "postgres://u@h/d?hunter2",
        "postgres://u@h/d?Hunter2%=x",
        "hunter2 is no = address",
        "postgres://u:hunter2/x@h/d",
        "postgres://u:x/hunter2@h/d",
        "postgres://u:x?hunter2@h/d",
    ] {
        let said = refusal(text);
        assert!(!said.to_lowercase().contains("hunter2"), "{said}");
    }
    assert!(refusal("postgres://u:hunter2@h/d").contains("~/.pgpass"));
    // An empty one is none.
    assert_eq!(parse("postgres://u:@h/d").user, "u");
}

#[test]
fn mistakes_are_named() {
    assert!(refusal("postgres://h/d?sslmod=require").contains("`sslmod`"));
    assert!(refusal("postgres://h/d?sslmode=required").contains("verify-full"));
    assert!(refusal("postgres://h:port/d").contains("port is not a number"));
    assert!(refusal("postgres://a,b/d").contains("one server"));
    assert!(refusal("host='h").contains("does not end"));
    assert!(refusal("").contains("empty"));
}

#[test]
fn the_text_goes_before_the_service_and_the_service_before_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services");
    std::fs::write(
        &file,
        "# ours\n[other]\nhost=wrong\n[app]\nhost=by-service\nport=1111\nuser=svc\npassword=secret\n[more]\nhost=x\n",
    )
    .unwrap();
    let file = file.display().to_string();
    let around = around(&[
        ("PGSERVICEFILE", file.as_str()),
        ("PGHOST", "by-env"),
        ("PGUSER", "env"),
        ("PGDATABASE", "env-db"),
        ("PGSSLMODE", "require"),
    ]);
    let found = Address::parse("service=app port=2222", &around).unwrap();
    assert_eq!((found.host.as_str(), found.port, found.user.as_str()), ("by-service", 2222, "svc"));
    assert_eq!((found.dbname.as_str(), found.protection), ("env-db", Protection::Require));
    assert_eq!(found.password.as_deref(), Some("secret"));
    assert!(!format!("{found:?}").contains("secret"));
    let missing = Address::parse("postgres:///?service=nope", &around).unwrap_err().to_string();
    assert!(missing.contains("`nope`") && missing.contains(&file), "{missing}");
}

#[test]
fn a_password_comes_from_the_file_unless_others_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".pgpass");
    std::fs::write(&path, "h:5432:*:u:secret\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut around = around(&[]);
    around.home = Some(folder.path().to_owned());
    let read = |around: &Surroundings| Address::parse("postgres://u@h/d", around).unwrap();
    assert_eq!(read(&around).password.as_deref(), Some("secret"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!((read(&around).password, read(&around).exposed), (None, Some(path)));
    around.variables.insert("PGPASSWORD".into(), "env".into());
    assert_eq!(read(&around).password.as_deref(), Some("env"));
}

#[test]
fn authorities_make_require_stricter_and_never_laxer() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.crt");
    std::fs::write(&root, "x").unwrap();
    let mode = |text: String| parse(&text).protection;
    assert_eq!(mode(format!("host=h sslmode=require sslrootcert={}", root.display())), Protection::VerifyCa);
    assert_eq!(mode("host=h sslrootcert=system".into()), Protection::VerifyFull);
    assert!(refusal("host=h sslmode=require sslrootcert=system").contains("verify-full"));
    assert!(refusal("host=h sslcert=a").contains("sslkey"));
}
