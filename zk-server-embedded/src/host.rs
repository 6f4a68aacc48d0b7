//! Facts about the machine, for the four-letter words that show them.

use std::{env, fs, path::Path};

use zk_server_core::{config::ShownConfig, front::four_letter::Host};

/// Everything that can be found out. What cannot is left at its default.
pub(crate) fn facts(shown: &ShownConfig) -> Host {
    let text = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let status = text("/proc/self/status").unwrap_or_default();
    let memory = text("/proc/meminfo").unwrap_or_default();
    let directory =
        |path: &String| if path.is_empty() { 0 } else { directory_bytes(path.as_ref()) };
    Host {
        data_dir_bytes: directory(&shown.data_dir),
        log_dir_bytes: directory(&shown.log_dir),
        open_files: fs::read_dir("/proc/self/fd")
            .map_or(0, |files| u64::try_from(files.count()).unwrap_or(u64::MAX)),
        open_files_max: open_files_max(&text("/proc/self/limits").unwrap_or_default()),
        host_name: text("/proc/sys/kernel/hostname"),
        temporary_dir: Some(env::temp_dir().display().to_string()),
        os_name: Some(env::consts::OS.into()),
        os_arch: Some(env::consts::ARCH.into()),
        os_version: text("/proc/sys/kernel/osrelease"),
        user_name: env::var("USER").ok(),
        user_home: env::var("HOME").ok(),
        user_dir: env::current_dir().ok().map(|path| path.display().to_string()),
        memory_free_bytes: kilobytes(&memory, "MemAvailable:"),
        memory_max_bytes: kilobytes(&memory, "MemTotal:"),
        memory_total_bytes: kilobytes(&status, "VmRSS:"),
    }
}

/// Bytes of the files directly in a directory; none where it cannot be read.
fn directory_bytes(path: &Path) -> u64 {
    let Ok(files) = fs::read_dir(path) else {
        return 0;
    };
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// The number behind `key` in a list of `key: number kB`, in bytes.
fn kilobytes(list: &str, key: &str) -> u64 {
    let number = list.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next());
    number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0).saturating_mul(1024)
}

/// The soft limit of open files out of the kernel's table of limits.
fn open_files_max(limits: &str) -> u64 {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max open files            1024                 4096                 files";
        assert_eq!(open_files_max(limits), 1024);
        assert_eq!(open_files_max("Max open files unlimited unlimited"), 0);
        assert_eq!(kilobytes("MemTotal:   12 kB\nMemFree: 3 kB", "MemFree:"), 3 * 1024);
        assert_eq!(kilobytes("", "MemFree:"), 0);
    }
}
