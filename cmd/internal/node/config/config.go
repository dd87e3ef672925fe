// Package config turns flags, environment, and a strict file into one checked Config of a node.
//
// Nouns: a Setting is one key with its default, its meaning, and its rule; the registry (registry.go) is the only
// list of them, and flags, environment names, the file, `config print`, and `settings set` are all derived from it.
// A Source says where a value came from. Scope says who owns a value: this node, the cluster, or the bootstrap.
//
// Load is pure but for the files that it is told to read. Nothing here opens sockets, makes directories, or
// changes a Config after Load; `With` returns a changed copy.
package config

import "time"

// Config is everything that `flotilla start` can be told, checked. Cluster-wide settings hold what this node was
// started with: a new cluster begins with them, an existing one overrides them (see With).
type Config struct {
	Name            string
	DataDir         string
	RPCAddr         string // host:port
	HTTPAddr        string // host:port
	GossipAddr      string // host:port
	Advertise       string // host that peers are told, empty: the host of each address
	Join            []string
	BootstrapExpect int  // 0: not given
	AdoptClone      bool // the data directory is a copy of another node's
	Zone            string
	Cluster         string // gossip label
	ClusterKeyFile  string
	ClusterKey      []byte // 32 bytes, derived from the file; nil without one. Never printed
	Insecure        bool
	LogEngine       string // LogEngineShared or LogEngineBoltDB
	LogLevel        string // debug, info, warn, error
	LogFormat       string // text or json

	Coordinator    Coordinator
	Replication    Replication
	Storage        Storage
	WriteTimeout   time.Duration
	AutoCreate     bool          // a write makes the database and the collection that it names
	MaxClockOffset time.Duration // between this node and the median of its peers

	Warnings []string // things worth one log line each at start, such as unknown FLOTILLA_ variables

	sources map[string]Source
}

// The two log engines of --log-engine.
const (
	LogEngineShared = "shared"
	LogEngineBoltDB = "boltdb"
)

// Coordinator holds how groups are placed on nodes.
type Coordinator struct {
	HashThreshold int    // nodes from which the ring replaces rendezvous hashing
	VnodeCount    int    // virtual nodes a node on the ring
	TotalGroups   uint32 // fixed at bootstrap
	AutoAssigner  AutoAssigner
}

// AutoAssigner holds when the meta leader looks for work.
type AutoAssigner struct {
	Enabled      bool
	PollInterval time.Duration
}

// Replication holds what an acknowledged write stands on.
type Replication struct {
	Factor              int
	MinReplicasForWrite int
	Strategy            string // always "sync"
}

// Storage holds the limits of one node's disk and memory, in bytes.
type Storage struct {
	LogRetention int64
	DiskReserve  int64
	HeadMemory   int64
	Window       time.Duration // fixed at bootstrap: it is part of every leaf
	Sync         Sync
	AntiEntropy  AntiEntropy
}

// Sync holds how replicas are brought to equality.
type Sync struct {
	Enabled        bool          // resyncs start by themselves
	StartupSync    bool          // groups decide at the start of the node
	StartupTimeout time.Duration // how long they hold its readiness back
	BatchSize      int           // points a message
	MaxConcurrent  int           // copies into a node at once
	Rate           int64         // bytes/s in, and out; 0: no limit
	MaxAttempts    int
}

// AntiEntropy holds how replicas are proven to be equal, again and again.
type AntiEntropy struct {
	Enabled       bool          // checks and scrubs start by themselves
	Interval      time.Duration // between two checks of a group
	ScrubInterval time.Duration // within which everything is re-read
	BatchSize     int           // points between two yields
	Rate          int64         // bytes/s that are re-read; 0: no limit
}

// Source says where the value of one setting came from: "default", "file flotilla.yaml:12",
// "environment FLOTILLA_NAME", "flag --name", or "cluster".
type Source string

// SourceDefault marks a value that nobody chose.
const SourceDefault Source = "default"

// Source returns where the value of key came from.
func (c *Config) Source(key string) Source {
	setting, ok := Find(key)
	if !ok {
		return SourceDefault
	}
	if s, ok := c.sources[setting.Key]; ok {
		return s
	}
	return SourceDefault
}

// Secured reports whether peers prove that they know the cluster key.
func (c *Config) Secured() bool { return len(c.ClusterKey) > 0 }
