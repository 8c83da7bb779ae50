//! The real program where the machine makes trouble: no room on the disk, a folder that can't be written to, two processes that
//! want the same one. Who asked is told, what was acknowledged is there, and when the trouble is over a start goes on.
//!
//! What a machine does not allow (to mount, to be somebody else) shows as ignored with the reason, also in CI: containers differ.

fn main() {
    #[cfg(target_os = "linux")]
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File, Permissions};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};

    use libtest_mimic::{Arguments, Failed, Trial};
    use rustix::process::{Pid, Resource, Rlimit, geteuid, getrlimit, prlimit};
    use tempfile::TempDir;

    const PROGRAM: &str = env!("CARGO_BIN_EXE_tminus");
    /// Somebody who owns nothing.
    const NOBODY: u32 = 65534;
    /// How many notes are tried before the disk has to be full.
    const NOTES_MAX: usize = 200;
    /// How many processes want one folder at once.
    const RIVALS: usize = 6;

    pub fn main() {
        let arguments = Arguments::from_args();
        let cases: [(&str, Check, Option<Check>); 6] = [
            ("a_full_disk_is_told_and_costs_nothing_that_was_acknowledged", full_disk, Some(may_mount)),
            ("a_file_that_may_not_grow_is_told_and_costs_nothing_that_was_acknowledged", full_quota, None),
            ("a_backup_on_a_full_disk_leaves_no_half_file_and_takes_none_away", full_backups, Some(may_mount)),
            ("a_start_on_a_full_disk_says_so", full_at_the_start, Some(may_mount)),
            ("a_folder_that_may_not_be_written_to_is_refused", read_only, Some(may_be_nobody)),
            ("of_many_that_want_one_folder_one_gets_it", rivals, None),
        ];
        let trial = |(name, case, may): (&str, Check, Option<Check>)| {
            let trial = Trial::test(name, move || case().map_err(Failed::from));
            match may.map_or(Ok(()), |may| may()) {
                Ok(()) => trial,
                Err(reason) => trial.with_ignored_flag(true).with_kind(reason),
            }
        };
        libtest_mimic::run(&arguments, cases.into_iter().map(trial).collect()).exit();
    }

    /// A case, or whether the machine allows one.
    type Check = fn() -> Result<(), String>;

    /// A small file system of our own; unmounted when dropped.
    struct Small {
        dir: TempDir,
    }

    impl Small {
        fn mount(bytes: usize) -> Result<Self, String> {
            let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
            let size = format!("size={bytes},mode=0777");
            let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
            let mounted = mounted.map_err(|error| format!("needs `mount`: {error}"))?;
            if !mounted.status.success() {
                return Err(format!("needs to mount: {}", String::from_utf8_lossy(&mounted.stderr).trim()));
            }
            Ok(Self { dir })
        }

        fn path(&self) -> &Path {
            self.dir.path()
        }

        /// Takes all room but a little.
        fn fill(&self, but: usize) -> PathBuf {
            let path = self.path().join("filler");
            let mut file = File::create(&path).expect("a file");
            while file.write_all(&[1; 4096]).is_ok() {}
            let length = file.metadata().expect("a file").len();
            file.set_len(length.saturating_sub(but as u64)).expect("it shrinks");
            path
        }
    }

    impl Drop for Small {
        fn drop(&mut self) {
            // What still runs there keeps it alive, and takes it along.
            let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
        }
    }

    fn may_mount() -> Result<(), String> {
        Small::mount(1024 * 1024).map(drop)
    }

    fn may_be_nobody() -> Result<(), String> {
        if !geteuid().is_root() {
            return Ok(());
        }
        let tried = Command::new(PROGRAM).arg("--version").uid(NOBODY).stdout(Stdio::null()).status();
        match tried {
            Ok(status) if status.success() => Ok(()),
            tried => Err(format!("needs to run {PROGRAM} as somebody who is not root: {tried:?}")),
        }
    }

    /// Runs the program to its end: its code, and all it said.
    fn tminus(args: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(PROGRAM).args(args).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// A demo; killed when dropped.
    struct Demo {
        child: Child,
        url: String,
    }

    impl Demo {
        fn start(mut command: Command, data: &Path, log: &Path) -> Self {
            command.args(["demo", "--listen", "127.0.0.1:0", "--data"]).arg(data);
            let log = File::options().create(true).append(true).open(log).expect("a log");
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("it starts");
            let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
            let url = lines.find_map(|line| line.strip_prefix("ready: ").map(str::to_owned));
            Self { child, url: url.expect("it gets ready") }
        }

        fn says(&self, text: &str) -> (Option<i32>, String) {
            tminus(&["say", text, "--as", "maria", "--url", &self.url])
        }

        /// Notes more and more until one is not taken; answers those that were, and what was said then.
        fn notes_until_refused(&self) -> (Vec<String>, String) {
            let mut taken = Vec::new();
            for number in 0..NOTES_MAX {
                let note = format!("note-{number}-{}", "x".repeat(2000));
                let (code, said) = self.says(&format!("note {note}"));
                if code != Some(0) {
                    return (taken, said);
                }
                taken.push(note);
            }
            panic!("{NOTES_MAX} notes were taken, and there is still room");
        }
    }

    impl Drop for Demo {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// What has to hold once there was no room any more: told, stopped, nothing lost, and a start goes on when there is.
    fn holds_when_full(demo: Demo, data: &Path, why: &str, make_room: impl FnOnce(&Demo)) {
        let (taken, said) = demo.notes_until_refused();
        assert!(!taken.is_empty(), "some were taken before: {said}");
        let told = format!("the journal stopped accepting: {why}");
        assert!(said.contains(&told), "{said}");
        let (code, again) = demo.says("note one more");
        assert_eq!(code, Some(2), "{again}");
        assert!(again.contains(&told), "{again}");
        let status = |path: &str| reqwest::blocking::get(format!("{}{path}", demo.url)).expect("it answers").status().as_u16();
        assert_eq!((status("/healthz"), status("/readyz")), (200, 503));
        // It still shows what it knows, and only what is durable.
        assert_eq!(status("/api/rollouts/andromeda-staging-4.3"), 200);
        // A report is made of the journal. A store that can't write does not always read any more either, and that is said then.
        let (code, report) = tminus(&["report", "andromeda-staging-4.3", "--url", &demo.url]);
        if code == Some(0) {
            assert!(taken.iter().all(|note| report.contains(note.as_str())), "{report}");
        } else {
            assert!(report.contains("the journal could not be read"), "{report}");
        }
        make_room(&demo);
        // Room alone is not enough: what the disk holds is uncertain until a start has looked.
        assert_eq!(demo.says("note still").0, Some(2));
        drop(demo);

        let demo = Demo::start(Command::new(PROGRAM), data, &data.with_extension("log"));
        let (code, said) = demo.says("note it goes on");
        assert_eq!((code, said.as_str()), (Some(0), "Noted.\n"));
        let (_, report) = tminus(&["report", "andromeda-staging-4.3", "--url", &demo.url]);
        for note in &taken {
            assert_eq!(report.matches(note.as_str()).count(), 1, "{note} was acknowledged");
        }
        assert!(report.contains("it goes on"), "{report}");
        drop(demo);
        let (code, said) = tminus(&["journal", "verify", "--data", data.to_str().expect("a path")]);
        assert_eq!(code, Some(0), "{said}");
        println!("{} notes were acknowledged before there was no room, and all are there", taken.len());
    }

    fn full_disk() -> Result<(), String> {
        let small = Small::mount(48 * 1024 * 1024)?;
        let logs = tempfile::tempdir().map_err(|error| error.to_string())?;
        let data = small.path().join("data");
        let demo = Demo::start(Command::new(PROGRAM), &data, &logs.path().join("log"));
        assert_eq!(demo.says("start 4.3").0, Some(0));
        let filler = small.fill(64 * 1024);
        holds_when_full(demo, &data, "there is no room left on the disk", |_| fs::remove_file(&filler).expect("removed"));
        let log = fs::read_to_string(logs.path().join("log")).expect("a log");
        assert!(log.contains("The journal accepts nothing until a restart"), "{log}");
        assert!(log.contains("there is no room left on the disk"), "{log}");
        Ok(())
    }

    fn full_quota() -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let data = dir.path().join("data");
        // A write beyond the limit is an error then, and not the end of the process.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", PROGRAM]);
        let demo = Demo::start(command, &data, &dir.path().join("log"));
        assert_eq!(demo.says("start 4.3").0, Some(0));
        let db = fs::read(data.join("journal/db")).expect("the store");
        let written = db.iter().rposition(|byte| *byte != 0).expect("it holds something") as u64;
        let limit = |demo: &Demo, bytes: Option<u64>| {
            let pid = Pid::from_child(&demo.child);
            let maximum = getrlimit(Resource::Fsize).maximum;
            prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum }).expect("a limit of our own process");
        };
        limit(&demo, Some(written + 128 * 1024));
        holds_when_full(demo, &data, "a file may not grow any more", |demo| limit(demo, None));
        Ok(())
    }

    fn full_backups() -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let data = dir.path().join("data");
        let demo = Demo::start(Command::new(PROGRAM), &data, &dir.path().join("log"));
        assert_eq!(demo.says("start 4.3").0, Some(0));
        drop(demo);
        let small = Small::mount(24 * 1024 * 1024)?;
        let names = || {
            let entries = fs::read_dir(small.path()).expect("a folder");
            let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
            names.sort();
            names
        };
        let backup = || {
            let to = small.path().to_str().expect("a path");
            loop {
                let (code, said) =
                    tminus(&["journal", "backup", "--data", data.to_str().expect("a path"), "--to", to, "--keep", "1"]);
                // Their names are of the second.
                if !said.contains("is there already") {
                    return (code, said);
                }
            }
        };
        let (code, said) = backup();
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(names().len(), 1);
        // No room for the file itself; then for the file, and not to try it out.
        for but in [4096, 120 * 1024] {
            let filler = small.fill(but);
            let before = names();
            let (code, said) = backup();
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("no backup was made, and older ones were left alone"), "{said}");
            assert!(said.contains("No space left on device") || said.contains("there is no room"), "{said}");
            assert_eq!(names(), before, "{but}");
            fs::remove_file(filler).expect("removed");
        }
        Ok(())
    }

    fn full_at_the_start() -> Result<(), String> {
        let small = Small::mount(24 * 1024 * 1024)?;
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        small.fill(0);
        let data = small.path().join("data");
        let mut demo = Command::new(PROGRAM);
        demo.args(["demo", "--listen", "127.0.0.1:0", "--data"]).arg(&data).current_dir(dir.path());
        let output = demo.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("there is no room for the journal in ") && said.contains("make room, and start again"), "{said}");
        Ok(())
    }

    /// Runs the program as somebody who may only read.
    fn as_reader(args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(PROGRAM);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.args(args).current_dir("/").output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    fn read_only() -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let data = dir.path().join("data");
        let demo = Demo::start(Command::new(PROGRAM), &data, &dir.path().join("log"));
        assert_eq!(demo.says("start 4.3").0, Some(0));
        drop(demo);
        let data_text = data.to_str().expect("a path");
        let set_modes = |folder: u32, file: u32| set_modes(dir.path(), folder, file);
        set_modes(0o555, 0o444);
        let commands = [&["demo", "--listen", "127.0.0.1:0"][..], &["journal", "export"], &["report", "andromeda-staging-4.3"]];
        if geteuid().is_root() {
            // Whose folder it is comes first: who would leave files in somebody else's is refused, whatever its modes are.
            for command in commands {
                let (code, said) = as_reader(&[command, &["--data", data_text]].concat());
                assert_eq!(code, Some(1), "{said}");
                assert!(said.contains("belongs to user 0, and this is user"), "{command:?}: {said}");
            }
            give(&data, NOBODY);
        }
        for command in commands {
            let (code, said) = as_reader(&[command, &["--data", data_text]].concat());
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("journal can't be written to (Permission denied"), "{command:?}: {said}");
            assert!(said.contains("let this user write there, or copy the whole folder to where it may"), "{said}");
        }
        // Looking changes nothing, so it needs no more than reading.
        let (code, said) = as_reader(&["journal", "verify", "--data", data_text]);
        assert_eq!(code, Some(0), "{said}");
        let new = dir.path().join("new");
        let (code, said) = as_reader(&["demo", "--listen", "127.0.0.1:0", "--data", new.to_str().expect("a path")]);
        assert_eq!(code, Some(1));
        assert!(said.contains("new can't be made: Permission denied"), "{said}");
        // Allowed again, it goes on.
        if geteuid().is_root() {
            give(&data, geteuid().as_raw());
        }
        set_modes(0o755, 0o644);
        let demo = Demo::start(Command::new(PROGRAM), &data, &dir.path().join("log"));
        assert_eq!(demo.says("note it goes on").0, Some(0));
        Ok(())
    }

    /// Gives a folder and all below it to a user, which only root may.
    fn give(dir: &Path, user: u32) {
        for entry in fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                give(&path, user);
            } else {
                std::os::unix::fs::lchown(&path, Some(user), None).expect("an owner");
            }
        }
        std::os::unix::fs::lchown(dir, Some(user), None).expect("an owner");
    }

    /// The modes of all folders and files below one.
    fn set_modes(dir: &Path, folder: u32, file: u32) {
        // Folders that may not be written to can still be changed by their owner.
        fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("a mode");
        for entry in fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                set_modes(&path, folder, file);
            } else {
                fs::set_permissions(&path, Permissions::from_mode(file)).expect("a mode");
            }
        }
        fs::set_permissions(dir, Permissions::from_mode(folder)).expect("a mode");
    }

    fn rivals() -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let data = dir.path().join("data");
        // On a folder that is not there yet, and on one that is.
        for round in 0..3 {
            let mut children: Vec<Child> = (0..RIVALS)
                .map(|_| {
                    let mut command = Command::new(PROGRAM);
                    command.args(["demo", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
                    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
                })
                .collect();
            let mut ready = Vec::new();
            let mut refused = 0;
            for (number, child) in children.iter_mut().enumerate() {
                let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
                if lines.any(|line| line.starts_with("ready: ")) {
                    ready.push(number);
                    continue;
                }
                let mut said = String::new();
                child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("text");
                assert_eq!(child.wait().expect("it ends").code(), Some(1), "{said}");
                let expected = "is in use by another process: stop that one, or give this one a folder of its own";
                assert!(said.contains(expected), "round {round}: {said}");
                refused += 1;
            }
            for mut child in children {
                let _ = child.kill();
                let _ = child.wait();
            }
            assert_eq!((ready.len(), refused), (1, RIVALS - 1), "round {round}");
        }
        let (code, said) = tminus(&["journal", "verify", "--data", data.to_str().expect("a path")]);
        assert_eq!(code, Some(0), "{said}");
        Ok(())
    }
}
