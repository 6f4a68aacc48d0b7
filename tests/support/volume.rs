//! File systems of our own, with the faults of real ones.
//!
//! Mounting wants root. Nothing outside a directory of the suite's own is touched, and a volume is
//! unmounted when its handle goes.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use crate::scratch::Scratch;

/// Space in the memory that everything is kept in, in MiB.
const SPACE_MIB: u64 = 24;

/// What a device on it claims to have, in MiB: more than there is.
const CLAIMED_MIB: u64 = 96;

/// Bytes written at once when filling it, first coarsely and in the end byte by byte.
const FILLING_BYTES: [usize; 3] = [1 << 20, 4 << 10, 1];

/// What takes all the space.
const BALLAST: &str = "ballast";

/// A file system of limited size.
#[derive(Debug)]
pub struct Volume {
    /// Where the memory is mounted.
    memory: PathBuf,
    /// Where a file system on a device kept in that memory is mounted, if there is one.
    device: Option<PathBuf>,
    /// Last, so that the directory goes after what is mounted in it.
    _scratch: Scratch,
}

impl Volume {
    /// Memory: it says at once that it is full.
    ///
    /// # Panics
    /// When this process may not mount.
    pub fn memory() -> Self {
        let scratch = Scratch::new("volume");
        let memory = scratch.path().join("memory");
        fs::create_dir(&memory).expect("a directory can be made");
        let size = format!("size={SPACE_MIB}m");
        run("mount", &["-t", "tmpfs", "-o", &size, "zk-tests", text(&memory)]);
        Self { memory, device: None, _scratch: scratch }
    }

    /// An ext4 file system on a device whose space is not there until it is written to: when the
    /// memory behind it is full, writes go well and syncs fail.
    ///
    /// # Panics
    /// When this process may not mount.
    pub fn device() -> Self {
        let mut volume = Self::memory();
        let image = volume.image();
        let claimed = File::create(&image).and_then(|file| file.set_len(CLAIMED_MIB << 20));
        claimed.expect("a file with a hole");
        run("mkfs.ext4", &["-q", "-F", text(&image)]);
        let at = volume.memory.join("device");
        fs::create_dir(&at).expect("a directory can be made");
        volume.device = Some(at);
        volume.mount_device();
        volume
    }

    /// A directory on it.
    pub fn path(&self) -> PathBuf {
        self.device.as_ref().unwrap_or(&self.memory).join("data")
    }

    /// Takes all space that is left.
    ///
    /// # Panics
    /// When writing fails for another reason.
    pub fn fill(&self) {
        let ballast = File::options().create(true).append(true).open(self.memory.join(BALLAST));
        let mut ballast = ballast.expect("the file system can be written");
        for bytes in FILLING_BYTES {
            let part = vec![0; bytes];
            loop {
                match ballast.write_all(&part) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("filling {}: {error}", self.memory.display()),
                }
            }
        }
    }

    /// Gives back what [`Self::fill`] took.
    ///
    /// # Panics
    /// When nothing was taken.
    pub fn make_room(&self) {
        fs::remove_file(self.memory.join(BALLAST)).expect("it was filled");
    }

    /// Makes the file system on the device read-only, as it does by itself when it finds an error.
    ///
    /// # Panics
    /// When it is not on a device.
    pub fn find_an_error(&self) {
        let at = self.device.as_ref().expect("a device");
        let mounts = fs::read_to_string("/proc/mounts").expect("Linux");
        let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let line = fields.find(|fields| fields.get(1) == Some(&text(at))).expect("mounted");
        let name = line[0].trim_start_matches("/dev/");
        let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
        fs::write(trigger, "1").expect("ext4 can be told to find an error");
    }

    /// Mounts the file system on the device anew, as after its repair. Nobody may use it meanwhile.
    ///
    /// # Panics
    /// When somebody does.
    pub fn repair(&self) {
        let at = self.device.as_ref().expect("a device");
        run("umount", &[text(at)]);
        // Its journal says what was under way; the check writes down that the error was looked at.
        let checked = Command::new("fsck.ext4").args(["-p", text(&self.image())]).output();
        let code = checked.expect("fsck.ext4").status.code();
        assert!(matches!(code, Some(0 | 1)), "the file system is beyond repair: {code:?}");
        self.mount_device();
    }

    fn image(&self) -> PathBuf {
        self.memory.join("image")
    }

    fn mount_device(&self) {
        let at = self.device.as_ref().expect("a device");
        run("mount", &["-o", "loop,errors=remount-ro", text(&self.image()), text(at)]);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        for at in self.device.iter().chain([&self.memory]) {
            // Lazily: what a failed test has left open there must not keep it.
            drop(Command::new("umount").arg("--lazy").arg(at).status());
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("names of our own are text")
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} (it wants root): {said}");
}
