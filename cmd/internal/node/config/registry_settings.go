package config

import "time"

const (
	mebibyte = 1 << 20
	// maxGroups keeps group ids well below the id of the meta group (65535).
	maxGroups = 4096
	day       = 24 * time.Hour
	// maxBytes of a size setting: one exbibyte, so that sums of sizes never overflow.
	maxBytes = 1 << 60
)

var placementSettings = []Setting{
	{Key: "coordinator.hash_threshold", Default: "20", Scope: ScopeCluster, Category: categoryPlacement,
		Doc:     "nodes from which the ring replaces rendezvous hashing",
		binding: integer(1, 10_000, func(c *Config) *int { return &c.Coordinator.HashThreshold })},
	{Key: "coordinator.vnode_count", Default: "200", Scope: ScopeCluster, Category: categoryPlacement,
		Doc:     "virtual nodes a node on the ring",
		binding: integer(1, 10_000, func(c *Config) *int { return &c.Coordinator.VnodeCount })},
	{Key: "coordinator.total_groups", Default: "256", Scope: ScopeBootstrap, Category: categoryPlacement,
		Doc:     "groups that devices are spread over; fixed when the cluster is made",
		binding: integer(1, maxGroups, func(c *Config) *uint32 { return &c.Coordinator.TotalGroups })},
	{Key: "coordinator.auto_assigner.enabled", Default: "true", Shape: Switch, Scope: ScopeCluster, Category: categoryPlacement,
		Doc:     "fill groups that hold fewer replicas than the factor",
		binding: boolean(func(c *Config) *bool { return &c.Coordinator.AutoAssigner.Enabled })},
	{Key: "coordinator.auto_assigner.poll_interval", Default: "15s", Scope: ScopeCluster, Category: categoryPlacement,
		Doc: "how often the meta leader looks for such groups, beside every change of membership",
		binding: duration(time.Second, time.Hour,
			func(c *Config) *time.Duration { return &c.Coordinator.AutoAssigner.PollInterval })},
	{Key: "replication.factor", Also: "coordinator.replica_factor", Default: "3", Scope: ScopeCluster, Category: categoryReplication,
		Doc:     "replicas a group; with fewer nodes: all of them",
		binding: integer(1, 9, func(c *Config) *int { return &c.Replication.Factor })},
	{Key: "replication.min_replicas_for_write", Default: "1", Scope: ScopeCluster, Category: categoryReplication,
		Doc:     "live voters below which a group refuses writes",
		binding: integer(1, 9, func(c *Config) *int { return &c.Replication.MinReplicasForWrite })},
	{Key: "replication.strategy", Default: "sync", Scope: ScopeCluster, Category: categoryReplication,
		Doc:     "sync: an acknowledged write is on the disks of a quorum; there is nothing else",
		binding: text(onlySync, func(c *Config) *string { return &c.Replication.Strategy })},
}

var storageSettings = []Setting{
	{Key: "storage.log_retention", Default: "1GiB", Category: categoryStorage,
		Doc:     "log kept by a node, all groups together; what is kept can be replayed",
		binding: size(mebibyte, func(c *Config) *int64 { return &c.Storage.LogRetention })},
	{Key: "storage.disk_reserve", Default: "256MiB", Category: categoryStorage,
		Doc:     "free disk below which a node refuses new data and hands over its leaderships",
		binding: size(0, func(c *Config) *int64 { return &c.Storage.DiskReserve })},
	{Key: "storage.head_memory", Default: "256MiB", Category: categoryStorage,
		Doc:     "points in memory before the largest shards are flushed, all groups together",
		binding: size(mebibyte, func(c *Config) *int64 { return &c.Storage.HeadMemory })},
	{Key: "storage.window", Default: "24h", Scope: ScopeBootstrap, Category: categoryStorage,
		Doc:     "length of a window, the unit of hashing and copying; fixed when the cluster is made",
		binding: duration(time.Minute, 366*day, func(c *Config) *time.Duration { return &c.Storage.Window })},
}

var writeSettings = []Setting{
	{Key: "write_timeout", Default: "5s", Category: categoryWrites,
		Doc:     "how long a write waits for a leader and for its commit",
		binding: duration(10*time.Millisecond, 10*time.Minute, func(c *Config) *time.Duration { return &c.WriteTimeout })},
	{Key: "auto_create", Default: "true", Shape: Switch, Scope: ScopeCluster, Category: categoryWrites,
		Doc:     "a write makes the database and the collection that it names",
		binding: boolean(func(c *Config) *bool { return &c.AutoCreate })},
	{Key: "max_clock_offset", Default: "500ms", Category: categoryWrites,
		Doc:     "offset from the majority's clocks beyond which a node gives no times to points",
		binding: duration(time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.MaxClockOffset })},
}
