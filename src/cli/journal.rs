//! `tminus journal`: looks after the journal of a data folder. Verifies it, writes it down as a file, makes a journal of such a
//! file, and keeps backups where nothing runs that would.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _};

use crate::domain::problem::visible;
use crate::domain::proof::Proof;
use crate::engine::backups::{Backup, back_up, keep_export};
use crate::engine::clock::SystemClock;
use crate::engine::journal::chain::{self, ChainHash};
use crate::engine::journal::export::{Exporter, Header, Reader, WriteFileError, chunks, write_file};
use crate::engine::journal::import::import;
use crate::engine::journal::sled::{OpenError, SledJournal, StoreHead, VerifyReport, verify_with};
use crate::engine::journal::{ReadError, StreamName};
use crate::engine::ports::Clock as _;

use super::client::{Api, Where};
use super::folder::{self, NAME_IT, data_default, journal_dir};
use super::serve::{JOURNAL_DIR, SNAPSHOTS_DIR};

/// The longest report that is read, in bytes: that of a rollout of a thousand steps is far below it.
const REPORT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What can be done with a journal.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Checks every record, every chain and the head; changes nothing
    Verify(VerifyArgs),
    /// Writes the whole journal down as a file: to keep elsewhere, to move, to look into
    Export(ExportArgs),
    /// Makes a journal of an export, in a data folder that has none
    Import(ImportArgs),
    /// Keeps an export in a folder, tried out, under a name of its own; for a timer, where nothing runs
    Backup(BackupArgs),
}

/// What is verified, and by what.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// The data folder; the environment variable `TMINUS_DATA` names another one
    #[arg(long, value_name = "DIR", default_value_os_t = data_default())]
    data: PathBuf,
    /// An export, instead of a data folder
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// A report, in Markdown or JSON: proves that the journal holds the very events that it was made of
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What is exported, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The data folder; the environment variable `TMINUS_DATA` names another one
    #[arg(long, value_name = "DIR", default_value_os_t = data_default())]
    data: PathBuf,
    /// The file; without it, standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replaces the file if it is there
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    running: Running,
}

/// A T-minus that runs on the folder: it is asked instead, and an operator's token is needed.
#[derive(Debug, clap::Args)]
struct Running {
    /// Where a running T-minus is asked; an operator's token is needed
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    url: Option<String>,
    /// A file that holds the token; otherwise the environment variable `TMINUS_TOKEN`
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
}

impl Running {
    /// The way to it, if it is named.
    fn api(&self) -> anyhow::Result<Option<Api>> {
        let place = |url: &String| Where { url: url.clone(), token_file: self.token_file.clone() };
        self.url.as_ref().map(|url| Api::new(&place(url))).transpose()
    }
}

/// What is imported, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The export
    file: PathBuf,
    /// The data folder; it may be new, and must not have a journal
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// What is kept, and where.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The data folder; the environment variable `TMINUS_DATA` names another one
    #[arg(long, value_name = "DIR", default_value_os_t = data_default())]
    data: PathBuf,
    /// The folder of backups, for this installation alone; it is made when it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// How many are kept; the oldest beyond these are removed. Without it, all are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    #[command(flatten)]
    running: Running,
}

/// Where an export is had from a running T-minus.
const EXPORT_PATH: [&str; 3] = ["api", "journal", "export"];

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Verify(args) => verify(args),
        Command::Export(args) => export(args),
        Command::Import(args) => bring_back(args),
        Command::Backup(args) => backup(args),
    }
}

/// What was verified: of a folder or of a file.
struct Verified {
    streams: Vec<Stream>,
    /// The store's head, where there is a store.
    head: Option<StoreHead>,
    /// The hash at the place that a report names.
    chain_at: Option<ChainHash>,
    problems: Vec<String>,
    /// What is said of snapshots, where there are any.
    snapshots: Option<String>,
    /// What is said in the end when all is well, and when it is not.
    good: String,
    bad: &'static str,
}

struct Stream {
    name: StreamName,
    records: u64,
    bytes: u64,
    sequence: u64,
}

fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let proof = args.report.as_deref().map(read_proof).transpose()?;
    let place = proof.as_ref().and_then(|(proof, stream)| Some((stream.clone()?, proof.sequence)));
    let verified = match &args.file {
        Some(file) => verify_file(file, place.as_ref())?,
        None => verify_folder(&args.data, place)?,
    };
    for stream in &verified.streams {
        println!("{:<40} {:>8} records {:>12} bytes", stream.name.to_string(), stream.records, stream.bytes);
    }
    if let Some(head) = &verified.head {
        println!("head of the chain: {head}");
    }
    for problem in &verified.problems {
        println!("problem: {}", visible(problem));
    }
    if let Some(said) = &verified.snapshots {
        println!("note: {said}");
    }
    let mut code = ExitCode::SUCCESS;
    if verified.problems.is_empty() {
        println!("{}", visible(&verified.good));
    } else {
        println!("{}. {}", counted(verified.problems.len() as u64, "problem"), verified.bad);
        code = ExitCode::FAILURE;
    }
    if let Some((proof, _)) = &proof {
        match held_against(proof, &verified) {
            Ok(said) => println!("ok: {said}"),
            Err(said) => {
                println!("problem: {}", visible(&said));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// What is said of snapshots: they are not what was verified.
fn of_snapshots(data: &Path) -> Option<String> {
    // Where there is no folder there is none.
    let entries = std::fs::read_dir(data.join(SNAPSHOTS_DIR)).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.path().extension().map(ToOwned::to_owned));
    let count = names.filter(|extension| extension == "snapshot").count();
    (count > 0).then(|| {
        format!(
            "{} a cache, not the journal, and not compared with it. Reports are not made of that. To have the next start do without: \
             remove {}",
            if count == 1 { "1 snapshot is".to_owned() } else { format!("{count} snapshots are") },
            data.join(SNAPSHOTS_DIR).display()
        )
    })
}

fn verify_folder(data: &Path, place: Option<(StreamName, u64)>) -> anyhow::Result<Verified> {
    let verified = verify_with(&journal_dir(data, NAME_IT)?, place);
    let verified = verified.map_err(|error| while_in_use(error, "What can be verified meanwhile is a backup: --file BACKUP"));
    let VerifyReport { streams, store_head, chain_at, problems, .. } = verified?;
    let streams = streams.into_iter().map(|found| Stream {
        name: found.stream,
        records: found.records,
        bytes: found.payload_bytes,
        sequence: found.sequence,
    });
    Ok(Verified {
        streams: streams.collect(),
        head: Some(store_head),
        chain_at,
        problems,
        snapshots: of_snapshots(data),
        good: "ok: every record, chain and head is as it was written".to_owned(),
        bad: "Keep the folder as it is, and restore a backup into another one: tminus journal import BACKUP --data NEW-DIR",
    })
}

fn verify_file(file: &Path, place: Option<&(StreamName, u64)>) -> anyhow::Result<Verified> {
    let mut reader = open_export(file)?;
    let header = reader.header();
    let good = format!(
        "ok: every record and chain is as it was written at {} by T-minus {}, as of commit {}",
        header.written, header.program, header.store.commit
    );
    let mut streams: Vec<Stream> = Vec::new();
    let mut chain_at = None;
    let mut problems = Vec::new();
    loop {
        let exported = match reader.next_record() {
            Ok(Some(exported)) => exported,
            Ok(None) => break,
            Err(error) => {
                problems.push(format!("{}: {error}", file.display()));
                break;
            }
        };
        if streams.last().is_none_or(|stream| stream.name != exported.stream) {
            streams.push(Stream { name: exported.stream.clone(), records: 0, bytes: 0, sequence: 0 });
        }
        if let Some(stream) = streams.last_mut() {
            stream.records += 1;
            stream.bytes += exported.record.payload.len() as u64;
            stream.sequence = exported.record.sequence;
        }
        if place.is_some_and(|(name, sequence)| (name, *sequence) == (&exported.stream, exported.record.sequence)) {
            chain_at = Some(exported.chain);
        }
    }
    Ok(Verified {
        streams,
        head: None,
        chain_at,
        problems,
        snapshots: None,
        good,
        bad: "This file can't be imported: take another backup.",
    })
}

/// What a report says of the journal, with its stream if that is one.
fn read_proof(file: &Path) -> anyhow::Result<(Proof, Option<StreamName>)> {
    use std::io::Read as _;
    let mut text = String::new();
    let opened = File::open(file).with_context(|| format!("{} can't be read", file.display()))?;
    opened.take(REPORT_BYTES_MAX).read_to_string(&mut text).with_context(|| format!("{} can't be read", file.display()))?;
    let proof =
        Proof::find(&text).with_context(|| format!("{} is no report that can be held against a journal", file.display()))?;
    let stream = StreamName::parse(&proof.stream);
    Ok((proof, stream))
}

/// Whether a journal holds what a report was made of.
fn held_against(proof: &Proof, verified: &Verified) -> Result<String, String> {
    let Proof { stream, sequence, hash } = proof;
    let Some(found) = verified.streams.iter().find(|found| found.name.as_str() == stream) else {
        return Err(format!("this journal has no stream {stream}: the report was made of another one"));
    };
    if found.sequence < *sequence {
        let end = found.sequence;
        return Err(format!(
            "{stream} ends at event {end}, and the report was made at event {sequence}: this journal is older than the report, or another one"
        ));
    }
    match verified.chain_at.as_ref().map(chain::hex) {
        Some(there) if there == *hash => {
            let since = match found.sequence - sequence {
                0 => "nothing came after it".to_owned(),
                1 => "1 event came after it".to_owned(),
                count => format!("{count} events came after it"),
            };
            Ok(format!(
                "{stream} holds the very events, up to {sequence}, that the report was made of; {since}. Its words were not compared: \
                 `tminus report` writes them anew"
            ))
        }
        Some(there) => Err(format!(
            "{stream} has another history than the report was made of: at event {sequence} its chain is {there}, not {hash}"
        )),
        None => Err(format!("event {sequence} of {stream} can't be read")),
    }
}

fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    if let Some(dir) = args.output.as_ref().filter(|file| file.is_dir()) {
        anyhow::bail!(
            "{} is a folder. Nothing was written; name a file, such as {}",
            dir.display(),
            dir.join("journal.jsonl").display()
        );
    }
    if let Some(file) = args.output.as_ref().filter(|file| file.exists() && !args.force) {
        anyhow::bail!(
            "{} is there already. Nothing was written; name another file, or replace this one with --force.",
            file.display()
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let output = args.output.as_deref();
    if let Some(api) = args.running.api()? {
        runtime.block_on(async { write_out(api.pieces(&EXPORT_PATH).await?, output).await })?;
        eprintln!("exported; `tminus journal verify --file` says what is in it");
        return Ok(ExitCode::SUCCESS);
    }
    let journal = Arc::new(open(&args.data)?);
    let exported = runtime.block_on(async {
        let exporter = Exporter::begin(journal.clone(), SystemClock.now()).await?;
        let header = exporter.header().cloned().context("an export begins with its header")?;
        write_out(chunks(exporter), output).await?;
        anyhow::Ok(header)
    });
    journal.close();
    let header = exported?;
    // On standard output stands the export.
    eprintln!("exported {}, as of commit {}", said(&header), header.store.commit);
    Ok(ExitCode::SUCCESS)
}

/// Writes an export to a file, as a whole or not at all, or to standard output.
async fn write_out(pieces: impl stream::Stream<Item = Result<Vec<u8>, ReadError>>, output: Option<&Path>) -> anyhow::Result<()> {
    if let Some(file) = output {
        return Ok(write_file(pieces, file, |_| Ok::<(), WriteFileError>(())).await?);
    }
    let mut pieces = pin!(pieces);
    let mut out = std::io::stdout().lock();
    while let Some(piece) = pieces.next().await {
        out.write_all(&piece?).context("nothing more can be written: what was written is no export")?;
    }
    out.flush().context("nothing more can be written: what was written is no export")
}

fn bring_back(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let reader = open_export(&args.file)?;
    let (written, imported) = (reader.header().written, said(reader.header()));
    let dir = args.data.join(JOURNAL_DIR);
    if args.data.is_dir() {
        folder::is_own(&args.data)?;
    }
    let report = import(reader, &dir, &|| false).with_context(|| format!("{} was not imported", args.file.display()))?;
    println!("imported {imported} into {}", dir.display());
    println!("head of the chain: {}", report.store_head);
    println!("ok: every record and chain is as it was exported at {written}");
    println!("What happened after that is not in it. Never let this one and the one it came from run at the same time.");
    Ok(ExitCode::SUCCESS)
}

fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let keep = args.keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
    let now = SystemClock.now();
    let made = if let Some(api) = args.running.api()? {
        runtime.block_on(async {
            let pieces = api.pieces(&EXPORT_PATH).await?;
            anyhow::Ok(keep_export(pieces, now, &args.to, keep, || false).await)
        })?
    } else {
        let journal = Arc::new(open(&args.data)?);
        let made = runtime.block_on(back_up(journal.clone(), now, &args.to, keep, || false));
        journal.close();
        made
    };
    let Backup { path, records, removed } = made.context("no backup was made, and older ones were left alone")?;
    let removed = if removed == 0 { String::new() } else { format!("; {removed} older removed") };
    println!("{}: {}, tried out{removed}", path.display(), counted(records, "record"));
    Ok(ExitCode::SUCCESS)
}

/// How much is in an export.
fn said(header: &Header) -> String {
    format!("{} of {}", counted(header.records(), "record"), counted(header.streams.len() as u64, "stream"))
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn open_export(file: &Path) -> anyhow::Result<Reader<BufReader<File>>> {
    let opened = File::open(file).with_context(|| format!("{} can't be read", file.display()))?;
    if opened.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        anyhow::bail!("{} is a folder. Name an export: a file that `tminus journal export` or a backup wrote.", file.display());
    }
    Reader::open(BufReader::new(opened)).with_context(|| format!("{} can't be used", file.display()))
}

/// Opens the journal of a data folder that nothing else works on.
fn open(data: &Path) -> anyhow::Result<SledJournal> {
    folder::open_journal(data, NAME_IT)?.map_err(|error| {
        while_in_use(error, "Ask that one: --url URL. Or have it make backups itself: `backups:` in config/tminus.yaml")
    })
}

/// What is possible while another process works on a journal.
fn while_in_use(error: OpenError, help: &str) -> anyhow::Error {
    if matches!(error, OpenError::InUse { .. }) { anyhow::anyhow!("{error}. {help}") } else { error.into() }
}
