//! How many CPUs this process may use: the quota of its cgroup (version 1 or 2), rounded up, within its affinity.
//!
//! `std::thread::available_parallelism` reads the same files but rounds down, so that a quota of 1.9 CPUs would leave
//! nearly half of it idle. CPU requests (shares) are no limit and are ignored.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

/// Worker threads that make use of what the process may have; at least 1.
pub(crate) fn worker_threads() -> u64 {
    let root = Path::new("/");
    let allowed = affinity(root)
        .or_else(|| {
            thread::available_parallelism()
                .ok()
                .map(|count| count.get() as u64)
        })
        .unwrap_or(1);
    quota(root).map_or(allowed, |cpus| cpus.min(allowed)).max(1)
}

/// CPUs that the scheduler may use for this process; `None` off Linux.
fn affinity(root: &Path) -> Option<u64> {
    let status = fs::read_to_string(root.join("proc/self/status")).ok()?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().split(',').map(range_length).sum()
}

/// `3` is one CPU, `0-7` are eight.
fn range_length(range: &str) -> Option<u64> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    last.checked_sub(first)?.checked_add(1)
}

/// The smallest quota of the process's cgroup and of those above it, in whole CPUs, rounded up.
fn quota(root: &Path) -> Option<u64> {
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups
        .lines()
        .filter_map(|line| {
            // 0::/path in version 2, 4:cpu,cpuacct:/path in version 1
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let read = match controllers {
                "" => quota_v2,
                _ if controllers.split(',').any(|name| name == "cpu") => quota_v1,
                _ => return None,
            };
            let mount = Mount::find(&mounts, controllers)?;
            let top = root.join(mount.point.strip_prefix('/')?);
            mount
                .folders(&top, path)
                .iter()
                .filter_map(|folder| read(folder))
                .min()
        })
        .min()
}

/// Where a hierarchy of cgroups is mounted.
struct Mount<'a> {
    /// The cgroup that is the mount's top, `/` outside of containers.
    group: &'a str,
    point: &'a str,
}

impl<'a> Mount<'a> {
    /// The line of `/proc/self/mountinfo` for the hierarchy with `controllers`; none of them is version 2.
    fn find(mounts: &'a str, controllers: &str) -> Option<Self> {
        mounts.lines().find_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(3);
            let mut filesystem = filesystem.split(' ');
            let (group, point) = (mount.next()?, mount.next()?);
            let (kind, options) = (filesystem.next()?, filesystem.nth(1)?);
            let found = match controllers {
                "" => kind == "cgroup2",
                _ => kind == "cgroup" && options.split(',').any(|option| option == "cpu"),
            };
            found.then_some(Self { group, point })
        })
    }

    /// The folder of `path`'s cgroup and of every cgroup above it. In a container `path` may be seen from the host; then
    /// only the mount's top is known to be ours.
    fn folders(&self, top: &Path, path: &str) -> Vec<PathBuf> {
        let below = path
            .strip_prefix(self.group)
            .unwrap_or("")
            .trim_start_matches('/');
        let folder = top.join(below);
        let below_top = folder
            .ancestors()
            .take_while(|folder| folder.starts_with(top));
        below_top.map(Path::to_path_buf).collect()
    }
}

/// `cpu.max` holds `150000 100000` or `max 100000`.
fn quota_v2(folder: &Path) -> Option<u64> {
    let max = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = max.trim().split_once(' ')?;
    cpus(quota, period)
}

/// Without a quota `cpu.cfs_quota_us` holds -1.
fn quota_v1(folder: &Path) -> Option<u64> {
    let quota = fs::read_to_string(folder.join("cpu.cfs_quota_us")).ok()?;
    let period = fs::read_to_string(folder.join("cpu.cfs_period_us")).ok()?;
    cpus(quota.trim(), period.trim())
}

fn cpus(quota: &str, period: &str) -> Option<u64> {
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0).then(|| quota.div_ceil(period))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const V2: &str =
        "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

    /// A root folder with these files in it.
    fn root(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn a_quota_of_version_2_is_rounded_up() {
        for (max, cpus) in [
            ("50000 100000\n", Some(1)),
            ("100000 100000\n", Some(1)),
            ("100001 100000\n", Some(2)),
            ("150000 100000\n", Some(2)),
            ("400000 100000\n", Some(4)),
            ("max 100000\n", None),
            ("nonsense\n", None),
            ("100000 0\n", None),
        ] {
            let root = root(&[
                ("proc/self/mountinfo", V2),
                ("proc/self/cgroup", "0::/kubepods/pod1\n"),
                ("sys/fs/cgroup/kubepods/pod1/cpu.max", max),
            ]);
            assert_eq!(quota(root.path()), cpus, "{max}");
        }
    }

    #[test]
    fn the_smallest_quota_on_the_way_up_counts() {
        let root = root(&[
            ("proc/self/mountinfo", V2),
            ("proc/self/cgroup", "0::/kubepods/pod1\n"),
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/kubepods/cpu.max", "250000 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/cpu.max", "800000 100000\n"),
        ]);
        assert_eq!(quota(root.path()), Some(3));
    }

    #[test]
    fn a_quota_of_version_1_is_rounded_up() {
        for (limit, cpus) in [("50000", Some(1)), ("199999", Some(2)), ("-1", None)] {
            let root = root(&[
                ("proc/self/mountinfo", V1),
                ("proc/self/cgroup", "5:memory:/pod1\n4:cpu,cpuacct:/pod1\n"),
                ("sys/fs/cgroup/cpu,cpuacct/pod1/cpu.cfs_quota_us", limit),
                (
                    "sys/fs/cgroup/cpu,cpuacct/pod1/cpu.cfs_period_us",
                    "100000\n",
                ),
            ]);
            assert_eq!(quota(root.path()), cpus, "{limit}");
        }
    }

    #[test]
    fn a_container_that_sees_the_hosts_path_finds_its_own_quota_at_the_mounts_top() {
        let mounts = "32 24 0:28 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let root = root(&[
            ("proc/self/mountinfo", mounts),
            ("proc/self/cgroup", "4:cpu:/docker/abc\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(quota(root.path()), Some(3));
    }

    #[test]
    fn affinity_counts_the_cpus_of_the_list() {
        for (list, cpus) in [
            ("0", Some(1)),
            ("0-7", Some(8)),
            ("0-3,8,10-11", Some(7)),
            ("3-1", None),
            ("", None),
        ] {
            let root = root(&[(
                "proc/self/status",
                &format!("Name:\tx\nCpus_allowed_list:\t{list}\n"),
            )]);
            assert_eq!(affinity(root.path()), cpus, "{list}");
        }
        assert_eq!(affinity(root(&[]).path()), None);
        assert_eq!(quota(root(&[]).path()), None);
    }

    #[test]
    fn this_machine_has_a_cpu() {
        assert!(worker_threads() >= 1);
    }
}
