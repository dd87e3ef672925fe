package config

import "time"

var resyncSettings = []Setting{
	{Key: "storage.sync.enabled", Default: "true", Shape: Switch, Scope: ScopeEither, Category: categoryResync,
		Doc:     "replicas that the log does not reach are resynced by themselves; `flotilla resync` works without it",
		binding: boolean(func(c *Config) *bool { return &c.Storage.Sync.Enabled })},
	{Key: "storage.sync.startup_sync", Default: "true", Shape: Switch, Scope: ScopeEither, Category: categoryResync,
		Doc:     "each group decides at the start of its node whether it needs a resync, before anybody asks",
		binding: boolean(func(c *Config) *bool { return &c.Storage.Sync.StartupSync })},
	{Key: "storage.sync.startup_timeout", Default: "5m", Scope: ScopeEither, Category: categoryResync,
		Doc: "how long replicas that are being brought up to date hold a node back from being ready",
		binding: duration(0, 7*day,
			func(c *Config) *time.Duration { return &c.Storage.Sync.StartupTimeout })},
	{Key: "storage.sync.sync_batch_size", Default: "1000", Scope: ScopeEither, Category: categoryResync,
		Doc:     "points that a message of a copy carries at most, where a leaf has more; at least 128 KiB",
		binding: integer(1, 10_000_000, func(c *Config) *int { return &c.Storage.Sync.BatchSize })},
	{Key: "storage.sync.max_concurrent_syncs", Default: "5", Scope: ScopeEither, Category: categoryResync,
		Doc:     "groups that a node copies at once; the others wait",
		binding: integer(1, 64, func(c *Config) *int { return &c.Storage.Sync.MaxConcurrent })},
	{Key: "storage.sync.rate", Default: "0B", Scope: ScopeEither, Category: categoryResync,
		Doc:     "bytes a second that copies bring into a node, and as many out of it; 256KiB at least; 0B: no limit",
		binding: noneOr(256<<10, func(c *Config) *int64 { return &c.Storage.Sync.Rate })},
	{Key: "storage.sync.max_attempts", Default: "3", Scope: ScopeEither, Category: categoryResync,
		Doc:     "how often a resync is tried before it has failed",
		binding: integer(1, 100, func(c *Config) *int { return &c.Storage.Sync.MaxAttempts })},
}
