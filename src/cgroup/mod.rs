//! cgroup v2 by directory descriptor: create, limit, read, freeze, kill, wait until empty.
