package config

import "strings"

// Scope says who owns the value of a setting.
type Scope uint8

const (
	// ScopeNode is a value of this process alone.
	ScopeNode Scope = iota
	// ScopeCluster is kept in the meta group; `settings set` changes it for every node.
	ScopeCluster
	// ScopeBootstrap is written once, when the cluster is made, and can never change.
	ScopeBootstrap
	// ScopeEither is a value that `settings set` changes for every node that was not given its own at its start.
	ScopeEither
)

// String returns the word that `config print` and `settings list` show.
func (s Scope) String() string {
	return [...]string{"node", "cluster", "bootstrap", "either"}[s]
}

// Shape says how a setting is given on a command line.
type Shape uint8

const (
	// Text takes a value: --name n1.
	Text Shape = iota
	// Switch is true when named alone: --insecure, --auto-create=false, --auto-create false.
	Switch
	// List may be repeated and takes commas: --join a --join b,c.
	List
)

// Setting is one key: its names, its default, its meaning, and its rule.
type Setting struct {
	Key      string // in the file and in the API: storage.log_retention
	Also     string // a second key of the same setting, or empty
	Default  string
	Doc      string // one line, starts in lower case
	Scope    Scope
	Shape    Shape
	Category string

	binding
}

// Flag returns the name of the command-line flag without dashes: storage.log-retention.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Key, "_", "-") }

// Env returns the name of the environment variable: FLOTILLA_STORAGE_LOG_RETENTION.
func (s Setting) Env() string { return envName(s.Key) }

func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// EnvPrefix begins the name of every environment variable of Flotilla.
const EnvPrefix = "FLOTILLA_"

// Get returns the value that c holds, as `config print` writes it. No setting is a secret: the cluster key is read
// from a file, and only the name of that file is one.
func (s Setting) Get(c *Config) string { return s.get(c) }

// Settings returns every setting, in the order in which they are printed. The caller may keep the slice.
func Settings() []Setting { return append([]Setting(nil), registry...) }

// Find returns the setting that is called key in a file or in the API.
func Find(key string) (Setting, bool) {
	for _, s := range registry {
		if s.Key == key || (s.Also != "" && s.Also == key) {
			return s, true
		}
	}
	return Setting{}, false
}

// Nearest returns " (did you mean \"x\"?)" for a key that does not exist, or an empty string.
func Nearest(key string) string {
	keys := make([]string, 0, 2*len(registry))
	for _, s := range registry {
		keys = append(keys, s.Key)
		if s.Also != "" {
			keys = append(keys, s.Also)
		}
	}
	return DidYouMean(key, keys)
}

// Categories of settings, as `start --help` groups them.
const (
	categoryNode        = "Node:"
	categoryCluster     = "Joining a cluster:"
	categorySecurity    = "Security:"
	categoryLogging     = "Logging:"
	categoryPlacement   = "Placement (cluster-wide):"
	categoryReplication = "Replication (cluster-wide):"
	categoryStorage     = "Storage:"
	categoryResync      = "Resync:"
	categoryAntiEntropy = "Anti-entropy:"
	categoryWrites      = "Writes:"
)

// registry is the only list of settings. A key stands here from the commit that gives it its effect.
var registry = concat(nodeSettings, clusterSettings, placementSettings, storageSettings, resyncSettings, antiEntropySettings, writeSettings)

func concat(lists ...[]Setting) []Setting {
	var all []Setting
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

var nodeSettings = []Setting{
	{Key: "name", Default: "n1", Category: categoryNode,
		Doc:     "name of this node, 1 to 64 of A-Z a-z 0-9 _ -",
		binding: text(nodeName, func(c *Config) *string { return &c.Name })},
	{Key: "data_dir", Default: "./flotilla-data", Category: categoryNode,
		Doc:     "directory of everything that this node keeps",
		binding: text(notEmpty, func(c *Config) *string { return &c.DataDir })},
	{Key: "rpc_addr", Default: "127.0.0.1:7600", Category: categoryNode,
		Doc:     "gRPC and peer traffic, host:port",
		binding: text(hostPort, func(c *Config) *string { return &c.RPCAddr })},
	{Key: "http_addr", Default: "127.0.0.1:7601", Category: categoryNode,
		Doc:     "HTTP API, host:port",
		binding: text(hostPort, func(c *Config) *string { return &c.HTTPAddr })},
	{Key: "gossip_addr", Default: "127.0.0.1:7602", Category: categoryNode,
		Doc:     "gossip over TCP and UDP, host:port; --join of the others names it",
		binding: text(hostPort, func(c *Config) *string { return &c.GossipAddr })},
	{Key: "advertise", Default: "", Category: categoryNode,
		Doc:     "host that the other nodes reach this one at; needed when an address is 0.0.0.0",
		binding: text(hostOnly, func(c *Config) *string { return &c.Advertise })},
	{Key: "zone", Default: "", Category: categoryNode,
		Doc:     "failure domain; replicas of a group go to different zones where they can",
		binding: text(zoneName, func(c *Config) *string { return &c.Zone })},
	{Key: "log_engine", Default: LogEngineShared, Category: categoryNode,
		Doc:     "shared (one log and one fsync for all groups) or boltdb (one file a group)",
		binding: text(oneOf(LogEngineShared, LogEngineBoltDB), func(c *Config) *string { return &c.LogEngine })},
	{Key: "log_level", Default: "info", Category: categoryLogging,
		Doc:     "debug, info, warn or error",
		binding: text(oneOf("debug", "info", "warn", "error"), func(c *Config) *string { return &c.LogLevel })},
	{Key: "log_format", Default: "text", Category: categoryLogging,
		Doc:     "text or json",
		binding: text(oneOf("text", "json"), func(c *Config) *string { return &c.LogFormat })},
}

var clusterSettings = []Setting{
	{Key: "join", Default: "", Shape: List, Category: categoryCluster,
		Doc:     "gossip address of any other node, repeatable; may be down; retried for ever",
		binding: list(hostPort, func(c *Config) *[]string { return &c.Join })},
	{Key: "bootstrap_expect", Default: "0", Category: categoryCluster,
		Doc:     "number of fresh nodes that make a new cluster together; 0: not given",
		binding: integer(0, 255, func(c *Config) *int { return &c.BootstrapExpect })},
	{Key: "adopt_clone", Default: "false", Shape: Switch, Category: categoryCluster,
		Doc:     "the data directory is a copy of another node's: keep its data, and join as a new node",
		binding: boolean(func(c *Config) *bool { return &c.AdoptClone })},
	{Key: "cluster", Default: "flotilla", Category: categoryCluster,
		Doc:     "label of the gossip; nodes of another label are not heard",
		binding: text(labelName, func(c *Config) *string { return &c.Cluster })},
	{Key: "cluster_key_file", Default: "", Category: categorySecurity,
		Doc:     "file with at least 16 bytes of secret: encrypts gossip and authenticates peers",
		binding: text(anyText, func(c *Config) *string { return &c.ClusterKeyFile })},
	{Key: "insecure", Default: "false", Shape: Switch, Category: categorySecurity,
		Doc:     "allow addresses that are not loopback without a cluster key",
		binding: boolean(func(c *Config) *bool { return &c.Insecure })},
}
