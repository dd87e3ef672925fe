package config

import "time"

var antiEntropySettings = []Setting{
	{Key: "storage.anti_entropy.enabled", Default: "true", Shape: Switch, Scope: ScopeEither, Category: categoryAntiEntropy,
		Doc:     "replicas are compared, re-read and repaired by themselves; `flotilla verify` works without it",
		binding: boolean(func(c *Config) *bool { return &c.Storage.AntiEntropy.Enabled })},
	{Key: "storage.anti_entropy.interval", Default: "1h", Scope: ScopeEither, Category: categoryAntiEntropy,
		Doc: "within this each group's replicas are compared once, spread evenly over it",
		binding: duration(time.Second, 30*day,
			func(c *Config) *time.Duration { return &c.Storage.AntiEntropy.Interval })},
	{Key: "storage.anti_entropy.scrub_interval", Default: "24h", Scope: ScopeEither, Category: categoryAntiEntropy,
		Doc: "within this a node re-reads all that it stores once: blocks, log and votes",
		binding: duration(time.Minute, 365*day,
			func(c *Config) *time.Duration { return &c.Storage.AntiEntropy.ScrubInterval })},
	{Key: "storage.anti_entropy.batch_size", Default: "10000", Scope: ScopeEither, Category: categoryAntiEntropy,
		Doc:     "points that a scrub or a deep check re-reads between two yields to what clients ask for",
		binding: integer(100, 10_000_000, func(c *Config) *int { return &c.Storage.AntiEntropy.BatchSize })},
	{Key: "storage.anti_entropy.rate", Default: "0B", Scope: ScopeEither, Category: categoryAntiEntropy,
		Doc:     "bytes a second that scrubs and deep checks re-read on a node at most; 0B: no limit of a deep check, and a scrub as fast as its interval needs",
		binding: size(0, func(c *Config) *int64 { return &c.Storage.AntiEntropy.Rate })},
}
