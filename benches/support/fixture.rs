//! Journals that are made once and used again, because making them takes longer than measuring.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::Outcome;
use super::house::House;
use super::play::{Piece, Theatre};

/// Rises whenever journals that were made before are not what would be made now.
const FORM: &str = "5";
/// How many rollouts are played at once: what waits together for the disk shares one write.
const PLAYED_AT_ONCE: usize = 4;
/// Where files cost nothing to sync. A journal is made there commit by commit, as in a long life, and then moved.
const MEMORY: &str = "/dev/shm";

/// A journal with its configuration.
pub struct Fixture {
    dir: PathBuf,
}

impl Fixture {
    /// The one of that name, made now if it was not before.
    pub async fn of(folder: &Path, name: &str, house: &House, pieces: &[Piece]) -> Outcome<Self> {
        let dir = folder.join(name);
        let made = dir.join("made");
        let fixture = Self { dir };
        if fs::read_to_string(&made).is_ok_and(|form| form == FORM) {
            return Ok(fixture);
        }
        let started = Instant::now();
        println!("making {} once ({} rollouts) …", fixture.dir.display(), pieces.len());
        remove(&fixture.dir)?;
        fs::create_dir_all(&fixture.dir)?;
        house.write(&fixture.config())?;
        let memory = Path::new(MEMORY);
        let stage = if memory.is_dir() { memory.join(format!("tminus-bench-{}", std::process::id())) } else { fixture.data() };
        fs::create_dir_all(&stage)?;
        let played = play(house, &stage, pieces).await;
        if stage != fixture.data() {
            if played.is_ok() {
                copy(&stage, &fixture.data())?;
            }
            remove(&stage)?;
        }
        println!("made: {} events in {:.0} s\n", played?, started.elapsed().as_secs_f64());
        fs::write(made, FORM)?;
        Ok(fixture)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The folder that holds `config/` and `messages/`.
    pub fn config(&self) -> PathBuf {
        self.dir.join("house")
    }

    /// A copy of the data that may be changed.
    pub fn copy_to(&self, dir: &Path) -> Outcome<()> {
        remove(dir)?;
        copy(&self.data(), dir)
    }
}

/// Plays all pieces, several at a time; answers how many events that were.
async fn play(house: &House, data: &Path, pieces: &[Piece]) -> Outcome<u64> {
    let theatre = Arc::new(Theatre::open(house.settings()?, data).await?);
    let mut begun = Vec::new();
    for piece in pieces {
        begun.push((piece.clone(), theatre.begin(piece).await?));
    }
    let mut events = 0;
    let mut playing = JoinSet::new();
    for (piece, state) in begun {
        if playing.len() >= PLAYED_AT_ONCE
            && let Some(played) = playing.join_next().await
        {
            events += played??;
        }
        let theatre = theatre.clone();
        playing.spawn(async move { theatre.play(&piece, state).await.map(|state| state.sequence) });
    }
    while let Some(played) = playing.join_next().await {
        events += played??;
    }
    theatre.close();
    Ok(events)
}

/// Removes a folder with everything in it; one that is not there is gone already.
pub fn remove(dir: &Path) -> Outcome<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Copies a folder, and has it on the disk.
fn copy(from: &Path, to: &Path) -> Outcome<()> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    let synced = Command::new("sync").arg("-f").arg(to).status()?;
    if copied.success() && synced.success() { Ok(()) } else { Err("a folder can't be copied".into()) }
}
