//! Replacing and putting back files, cut everywhere.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use switchback_site::file::{Change, FileError, Image, capture, put_back, read, remove, replace};
use switchback_site::{Failure, Faults, Halt, Tell};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Cuts `act` at every fault point in turn, each time in a fresh folder, and hands the folder to `check`.
fn cut_everywhere(
    set_up: impl Fn(&Path),
    act: impl Fn(&Path, &Tell) -> Result<Change, FileError>,
    check: impl Fn(&Path),
) -> u64 {
    for at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        set_up(folder.path());
        match act(folder.path(), &Tell::with_faults(Arc::new(Faults::cut(at)))) {
            Ok(_) => return at - 1,
            Err(error) => assert_eq!(error.halt(), Some(Halt::Cut), "{error}"),
        }
        check(folder.path());
    }
    unreachable!()
}

#[test]
fn a_replacement_keeps_mode_owner_attributes_and_the_link() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("real")).unwrap();
    fs::write(at("real/app.toml"), "old").unwrap();
    fs::set_permissions(at("real/app.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/app.toml", at("middle")).unwrap();
    symlink("middle", at("app.toml")).unwrap();
    let before = Image::read(&at("app.toml")).unwrap();

    assert_eq!(replace(&at("app.toml"), b"new", 0o600, &Tell::quiet()).unwrap(), Change::Done);
    assert_eq!(replace(&at("app.toml"), b"new", 0o600, &Tell::quiet()).unwrap(), Change::Already);

    assert!(at("app.toml").is_symlink() && at("middle").is_symlink());
    assert_eq!(fs::read(at("real/app.toml")).unwrap(), b"new");
    assert_eq!(mode(&at("real/app.toml")), 0o640);
    assert_eq!(names(&at("real")), ["app.toml"]);
    let after = Image::read(&at("app.toml")).unwrap();
    assert_eq!(after.links().len(), 2);
    let (before, after) = (before.file().unwrap().clone(), after.file().unwrap().clone());
    assert_eq!(before.xattrs, after.xattrs);
    assert_ne!(before.digest, after.digest);
}

/// Some filesystems have no such attributes; what can be set must be kept.
#[test]
fn attributes_and_access_control_lists_are_kept_and_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let tell = Tell::quiet();
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // acl(5) in the kernel's form: version 2, then tag, permission and id of owner, user 1234, group, mask, other.
    let mut list = vec![2, 0, 0, 0];
    for (tag, permission, id) in
        [(1_u16, 6_u16, u32::MAX), (2, 4, 1234), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(permission.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(&path, name, value, rustix::fs::XattrFlags::empty()).is_ok()
    };
    let (note, acl) = (set("user.note", b"kept"), set("system.posix_acl_access", &list));
    let before = capture(&path, &folder.path().join("kept")).unwrap();
    let xattrs = |path: &Path| Image::read(path).unwrap().file().unwrap().xattrs.clone();
    assert_eq!(xattrs(&path).contains_key("user.note"), note);
    assert_eq!(xattrs(&path).contains_key("system.posix_acl_access"), acl);

    replace(&path, b"new", 0o600, &tell).unwrap();
    assert_eq!(xattrs(&path), before.image.file().unwrap().xattrs);
    assert_eq!(mode(&path), 0o640);
    fs::remove_file(&path).unwrap();
    put_back(&path, &before, &tell).unwrap();
    assert_eq!(Image::read(&path).unwrap(), before.image);

    // The other way round: a list that came with a change goes with its undoing.
    fs::write(&path, "plain").unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "plain").unwrap();
    let plain = capture(&path, &folder.path().join("kept")).unwrap();
    set("system.posix_acl_access", &list);
    put_back(&path, &plain, &tell).unwrap();
    assert_eq!(Image::read(&path).unwrap(), plain.image);
}

#[test]
fn a_cut_anywhere_leaves_the_old_or_the_new_content_and_the_repeat_finishes() {
    let points = cut_everywhere(
        |folder| {
            fs::write(folder.join("a"), "old").unwrap();
            fs::set_permissions(folder.join("a"), fs::Permissions::from_mode(0o640)).unwrap();
        },
        |folder, tell| replace(&folder.join("a"), b"new", 0o600, tell),
        |folder| {
            let now = fs::read(folder.join("a")).unwrap();
            assert!(now == b"old" || now == b"new");
            assert_eq!(mode(&folder.join("a")), 0o640);
            replace(&folder.join("a"), b"new", 0o600, &Tell::quiet()).unwrap();
            assert_eq!(fs::read(folder.join("a")).unwrap(), b"new");
            assert_eq!(mode(&folder.join("a")), 0o640);
            assert_eq!(names(folder), ["a"]);
        },
    );
    assert!(points >= 6);
}

#[test]
fn from_any_cut_the_way_back_restores_the_image() {
    let tell = Tell::quiet();
    for at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old \u{0} content").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let keep = tempfile::tempdir().unwrap();
        let before = capture(&path, &keep.path().join("a.kept")).unwrap();
        let done = replace(&path, b"new", 0o600, &Tell::with_faults(Arc::new(Faults::cut(at)))).is_ok();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        for again in 1.. {
            match put_back(&path, &before, &Tell::with_faults(Arc::new(Faults::cut(again)))) {
                Ok(_) => break,
                Err(error) => assert_eq!(error.halt(), Some(Halt::Cut), "{error}"),
            }
        }
        assert_eq!(Image::read(&path).unwrap(), before.image);
        assert_eq!(put_back(&path, &before, &tell).unwrap(), Change::Already);
        assert_eq!(names(folder.path()), ["a"]);
        if done {
            break;
        }
    }
}

#[test]
fn a_new_file_is_undone_by_removing_it_and_a_removed_one_by_writing_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let kept = folder.path().join("kept");
    let tell = Tell::quiet();

    let absent = capture(&path, &kept).unwrap();
    assert_eq!(absent.kept, None);
    replace(&path, b"", 0o644, &tell).unwrap();
    assert_eq!(mode(&path), 0o644);
    let empty = capture(&path, &kept).unwrap();
    assert_ne!(empty.image, absent.image, "absent and empty differ");
    put_back(&path, &absent, &tell).unwrap();
    assert!(!path.exists());

    put_back(&path, &empty, &tell).unwrap();
    assert_eq!(Image::read(&path).unwrap(), empty.image);
    assert_eq!(remove(&path, &tell).unwrap(), Change::Done);
    assert_eq!(remove(&path, &tell).unwrap(), Change::Already);
    let text = serde_json::to_string(&empty).unwrap();
    assert_eq!(serde_json::from_str::<switchback_site::file::Before>(&text).unwrap(), empty);
}

#[test]
fn what_is_not_a_plain_single_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let tell = Tell::quiet();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("one"), "x").unwrap();
    fs::hard_link(at("one"), at("two")).unwrap();
    symlink("loop", at("loop")).unwrap();
    let text = |path: &Path| replace(path, b"y", 0o600, &tell).unwrap_err().to_string();

    assert!(text(&at("folder")).contains("it is a folder"));
    assert!(text(Path::new("/dev/null")).contains("it is a device"));
    assert!(text(&at("one")).contains("2 names"));
    assert!(text(&at("loop")).contains("no end"));
    assert!(text(&at("none/deeper")).starts_with("look at the filesystem of"));
    assert!(text(Path::new("/proc/version")).starts_with("write a new file beside"));
    assert_eq!(fs::read(at("two")).unwrap(), b"x");
    assert_eq!(names(folder.path()), ["folder", "loop", "one", "two"]);
}

#[test]
fn hostile_names_work_and_are_shown_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let tell = Tell::quiet();
    for name in ["O'Brien \"lab\"; rm -rf *", "-rf", "é😀", "line\nfeed\u{1b}[31m", &"n".repeat(255)] {
        let path = folder.path().join(name);
        replace(&path, b"x", 0o600, &tell).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"x");
        remove(&path, &tell).unwrap();
    }
    let path = folder.path().join("line\nfeed\u{1b}[31m");
    fs::create_dir(&path).unwrap();
    let text = read(&path).unwrap_err().to_string();
    assert!(!text.contains('\n') && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_dangling_link_leads_to_a_new_file_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let tell = Tell::quiet();
    symlink("real", at("link")).unwrap();
    let before = capture(&at("link"), &at("kept")).unwrap();
    replace(&at("link"), b"x", 0o600, &tell).unwrap();
    assert_eq!(fs::read(at("real")).unwrap(), b"x");
    put_back(&at("link"), &before, &tell).unwrap();
    assert_eq!(names(folder.path()), ["link"]);
}

#[test]
fn a_damaged_kept_copy_is_not_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a"), "old").unwrap();
    let before = capture(&at("a"), &at("kept")).unwrap();
    fs::write(at("a"), "new").unwrap();
    fs::write(at("kept"), "rot").unwrap();
    let error = put_back(&at("a"), &before, &Tell::quiet()).unwrap_err();
    assert!(matches!(error, FileError::KeptDamaged { .. }));
    assert_eq!(fs::read(at("a")).unwrap(), b"new");
}

#[test]
fn a_full_disk_changes_nothing_and_leaves_nothing() {
    for at in 1..=4 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        let error =
            replace(&path, b"new", 0o600, &Tell::with_faults(Arc::new(Faults::full(at)))).unwrap_err();
        assert_eq!(error.halt(), Some(Halt::Full));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a"]);
    }
}

/// Needs the right to mount, which a container may not have; then there is nothing to test here.
#[test]
fn a_bind_mounted_file_is_written_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("outside"), "old and longer").unwrap();
    fs::write(at("inside"), "").unwrap();
    let program = "mount --bind outside inside && exec \"$0\" --exact in_a_mount_namespace --ignored";
    let unshare = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", program])
        .arg(std::env::current_exe().unwrap())
        .current_dir(folder.path())
        .env("SWITCHBACK_TEST_BOUND", at("inside"))
        .output();
    match unshare {
        Ok(output) if output.status.success() => assert_eq!(fs::read(at("outside")).unwrap(), b"new"),
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("panicked") => panic!("{output:?}"),
        _ => {}
    }
}

#[test]
#[ignore = "run by a_bind_mounted_file_is_written_in_place"]
fn in_a_mount_namespace() {
    let Some(path) = std::env::var_os("SWITCHBACK_TEST_BOUND") else { return };
    assert_eq!(replace(Path::new(&path), b"new", 0o600, &Tell::quiet()).unwrap(), Change::Done);
}
