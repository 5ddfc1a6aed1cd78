//! Pages of one export, one after the other.
#![allow(clippy::unwrap_used, missing_docs)]

mod http_common;

use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use http_common::{Script, answers, says, serve};
use switchback_model::records::Shape;
use switchback_site::Tell;
use switchback_site::http::{Download, DownloadError, Downloaded, Page, Part, Url, download_pages};

/// What the pages hold, one by one.
type Pages = Vec<String>;

fn fetch(
    scripts: Vec<Script>,
    shape: Option<Shape>,
) -> (Result<(Downloaded, String), DownloadError>, Pages, Pages) {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("export");
    let tries = scripts.len() as u32;
    let (url, heads) = serve(scripts);
    let base = Url::parse(url.origin()).unwrap();
    let ask = Download {
        url: &url,
        headers: &[],
        into: &into,
        shape,
        idle: Duration::from_secs(2),
        tries,
        status: 200,
    };
    let mut pages = Vec::new();
    let next = |page: &Page<'_>| -> Result<Option<Url>, DownloadError> {
        let mut file = std::fs::File::open(page.path).unwrap();
        file.seek(SeekFrom::Start(page.from)).unwrap();
        let mut text = String::new();
        file.take(page.to - page.from).read_to_string(&mut text).unwrap();
        pages.push(text);
        let next = page.headers.iter().find(|(name, _)| name == "x-next");
        Ok(next.map(|(_, at)| Url::parse(at).or_else(|_| base.join(&[Part::Text(at)])).unwrap()))
    };
    let result = download_pages(&ask, &Tell::quiet(), next);
    let result = result.map(|got| (got, std::fs::read_to_string(&into).unwrap()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), usize::from(result.is_ok()));
    (result, pages, heads.try_iter().collect())
}

fn page(next: &str, body: &str) -> Script {
    answers("200 OK", &format!("X-Next: {next}\r\n"), body)
}

#[test]
fn pages_become_one_stream_of_records() {
    let scripts =
        vec![page("/2", "{\"a\":1}\n{\"a\":2}"), page("/3", ""), answers("200 OK", "", "{\"a\":3}\n")];
    let (got, pages, heads) = fetch(scripts, Some(Shape::Lines));
    let (got, content) = got.unwrap();
    assert_eq!(content, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    assert_eq!((got.bytes, got.records), (24, Some(3)));
    assert_eq!(got.blake3, blake3::hash(content.as_bytes()).to_hex().as_str());
    assert_eq!(pages, ["{\"a\":1}\n{\"a\":2}", "", "{\"a\":3}\n"]);
    assert!(heads[1].starts_with("get /2 ") && heads[2].starts_with("get /3 "), "{heads:?}");

    let (got, ..) = fetch(vec![page("/2", "1 2"), answers("200 OK", "", "3")], Some(Shape::Values));
    assert_eq!(got.unwrap().1, "1 2\n3");
    let (got, ..) = fetch(vec![page("/2", "ab"), answers("200 OK", "", "c")], None);
    assert_eq!(got.unwrap().1, "abc", "bytes stay as they are");
}

#[test]
fn a_page_that_broke_off_is_gone_on_with_behind_the_pages_before_it() {
    let tagged = "Accept-Ranges: bytes\r\nETag: \"one\"\r\n";
    let breaks = || says(&format!("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n{tagged}\r\n[2"));
    let rest = answers("206 Partial Content", "Content-Range: bytes 2-7/8\r\n", "]\n[3]\n");
    let (got, pages, heads) = fetch(vec![page("/2", "[1]\n"), breaks(), rest], Some(Shape::Lines));
    let (got, content) = got.unwrap();
    assert_eq!((got.records, content.as_str()), (Some(3), "[1]\n[2]\n[3]\n"));
    assert_eq!(pages, ["[1]\n", "[2]\n[3]\n"]);
    assert!(heads[2].contains("range: bytes=2-\r\n"), "{heads:?}");

    let (got, _, heads) =
        fetch(vec![page("/2", "[1]\n"), breaks(), answers("200 OK", "", "[9]\n")], Some(Shape::Lines));
    let (got, content) = got.unwrap();
    assert_eq!((got.records, content.as_str()), (Some(2), "[1]\n[9]\n"));
    assert_eq!(got.blake3, blake3::hash(content.as_bytes()).to_hex().as_str());
    assert!(heads[1].starts_with("get /2 ") && heads[2].starts_with("get /2 "), "{heads:?}");
}

#[test]
fn pages_that_lead_away_or_around_or_are_cut_are_errors() {
    let (got, ..) = fetch(vec![page("http://127.0.0.1:1/2?key=s3cret", "1")], None);
    let text = got.unwrap_err().to_string();
    assert!(text.ends_with("to http://127.0.0.1:1: it is another origin"), "{text}");
    let (got, ..) = fetch(vec![page("/2", "1"), page("/3", "2"), page("/2", "3")], None);
    assert!(matches!(got, Err(DownloadError::Circle { pages: 3, .. })), "{got:?}");
    // A record cannot go on in the next page, and the number of a bad one counts through.
    let (got, pages, _) =
        fetch(vec![page("/2", "[1]\n[2"), answers("200 OK", "", "]\n")], Some(Shape::Lines));
    assert!(got.unwrap_err().to_string().contains("record 2 at byte 4"));
    assert!(pages.is_empty(), "it is not asked where to go on");
    let (got, ..) = fetch(vec![page("/2", "[1]"), answers("200 OK", "", "[2]\n[x]\n")], Some(Shape::Lines));
    let text = got.unwrap_err().to_string();
    assert!(text.contains("/2 gave: cannot read record 3 at byte 8: "), "{text}");
}
