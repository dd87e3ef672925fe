package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flotilla.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, in Inputs) Config {
	t.Helper()
	c, err := Load(in)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c
}

func TestDefaultsAreThoseOfTheInterface(t *testing.T) {
	c := mustLoad(t, Inputs{})
	if c.Name != "n1" || c.DataDir != "./flotilla-data" || c.RPCAddr != "127.0.0.1:7600" ||
		c.HTTPAddr != "127.0.0.1:7601" || c.GossipAddr != "127.0.0.1:7602" || c.Cluster != "flotilla" {
		t.Errorf("node: %+v", c)
	}
	if c.Coordinator != (Coordinator{20, 200, 256, AutoAssigner{true, 15 * time.Second}}) {
		t.Errorf("coordinator: %+v", c.Coordinator)
	}
	if c.Replication != (Replication{3, 1, "sync"}) {
		t.Errorf("replication: %+v", c.Replication)
	}
	if c.Storage != (Storage{1 << 30, 256 << 20, 256 << 20, 24 * time.Hour, Sync{true, true, 5 * time.Minute, 1000, 5, 0, 3},
		AntiEntropy{true, time.Hour, 24 * time.Hour, 10000, 0}}) {
		t.Errorf("storage: %+v", c.Storage)
	}
	if c.WriteTimeout != 5*time.Second || !c.AutoCreate || c.MaxClockOffset != 500*time.Millisecond {
		t.Errorf("writes: %+v", c)
	}
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	file := write(t, "name: from-file\nzone: from-file\ncluster: from-file\nreplication:\n  factor: 5\n")
	c := mustLoad(t, Inputs{
		File:    file,
		Environ: []string{"FLOTILLA_NAME=from-env", "FLOTILLA_ZONE=from-env", "PATH=/bin"},
		Flags:   map[string]string{"name": "from-flag"},
	})
	if c.Name != "from-flag" || c.Zone != "from-env" || c.Cluster != "from-file" || c.Replication.Factor != 5 || c.LogLevel != "info" {
		t.Errorf("got name %s, zone %s, cluster %s, factor %d, level %s", c.Name, c.Zone, c.Cluster, c.Replication.Factor, c.LogLevel)
	}
	for key, want := range map[string]Source{
		"name": "flag --name", "zone": "environment FLOTILLA_ZONE", "cluster": "file flotilla.yaml:3",
		"coordinator.replica_factor": "file flotilla.yaml:5", "log_level": SourceDefault,
	} {
		if got := c.Source(key); got != want {
			t.Errorf("source of %s: got %q, want %q", key, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name, file string
		flags      map[string]string
		want       string
	}{
		{"UnknownKeyWithLineAndHint", "name: a\nstorage:\n  log_retentoin: 1GiB\n", nil,
			`flotilla.yaml:3: unknown key "storage.log_retentoin" (did you mean "storage.log_retention"?)`},
		{"KeyWithoutItsSection", "log_retention: 1GiB\n", nil, `did you mean "storage.log_retention"?`},
		{"UnknownSection", "wal:\n  size: 1\n", nil, `flotilla.yaml:1: unknown key "wal"`},
		{"KeyOfALaterRelease", "storage:\n  backup:\n    enabled: true\n", nil, `flotilla.yaml:2: unknown key "storage.backup"`},
		{"KeyTwice", "name: a\nzone: b\nname: c\n", nil, `flotilla.yaml:3: key "name" is given twice, first in line 1`},
		{"KeyTwiceInTwoSpellings", "storage.window: 1h\nstorage:\n  window: 2h\n", nil, `flotilla.yaml:3: key "storage.window" is given twice`},
		{"NoValue", "name:\n", nil, "flotilla.yaml:1: name: has no value"},
		{"ListForASingleValue", "name: [a, b]\n", nil, "name: takes a single value"},
		{"MapForASingleValue", "name:\n  a: b\n", nil, "name: takes a single value"},
		{"ScalarForASection", "storage: 5\n", nil, `flotilla.yaml:1: storage is a section: its keys are written below it`},
		{"NotAMap", "- a\n- b\n", nil, "flotilla.yaml:1: the file is not a list of keys and values"},
		{"BrokenYAML", "name: [a\n", nil, "flotilla.yaml: line 1"},
		{"TwoDocuments", "name: a\n---\nname: b\n", nil, "more than one YAML document"},
		{"NotASize", "storage: {head_memory: lots}\n", nil, `"lots" is not a size`},
		{"NotADuration", "write_timeout: 5\n", nil, `"5" is not a duration`},
		{"TooSmall", "storage: {head_memory: 1KiB}\n", nil, "1KiB is below 1MiB"},
		{"NotABoolean", "auto_create: yes\n", nil, `"yes" is neither true nor false`},
		{"Async", "replication: {strategy: async}\n", nil, "async is refused"},
		{"OneSettingTwoValues", "replication: {factor: 3}\ncoordinator: {replica_factor: 5}\n", nil, "they are one setting"},
		{"NameWithADot", "", map[string]string{"name": "n1.x"}, "flag --name: name:"},
		{"PublicAddress", "", map[string]string{"http_addr": "0.0.0.0:7601"}, "is not loopback: give --cluster-key-file"},
		{"AddressOfAllInterfaces", "", map[string]string{"rpc_addr": ":7600"}, "is not loopback"},
		{"HostName", "", map[string]string{"gossip_addr": "db1.example:7602"}, "is not loopback"},
		{"PublicAdvertise", "", map[string]string{"advertise": "10.0.0.1"}, "--advertise 10.0.0.1 is not loopback"},
		{"KeyAndInsecure", "", map[string]string{"insecure": "true", "cluster_key_file": "k"}, "exclude each other"},
		{"OnePortTwice", "", map[string]string{"rpc_addr": "127.0.0.1:7601"}, "are both 127.0.0.1:7601"},
		{"EmptyJoin", "", map[string]string{"join": ""}, "flag --join: is given and names nothing"},
		{"JoinOfACommaOnly", "", map[string]string{"join": " ,"}, "flag --join: is given and names nothing"},
		{"EmptyJoinInTheFile", "join: \"\"\n", nil, "flotilla.yaml:1: join: is given and names nothing"},
		{"JoinOfAnEmptyItem", "join: [\"\"]\n", nil, "flotilla.yaml:1: join: is given and names nothing"},
		{"ExpectWithoutJoin", "", map[string]string{"bootstrap_expect": "3"}, "needs --join"},
		{"MoreLiveReplicasThanReplicas", "", map[string]string{"replication.min_replicas_for_write": "4"}, "no write could ever succeed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := Inputs{Flags: test.flags}
			if test.file != "" {
				in.File = write(t, test.file)
			}
			_, err := Load(in)
			if err == nil {
				t.Fatalf("accepted; want %q", test.want)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %q\nwant one line with %q", err, test.want)
			}
		})
	}
}

func TestEmptyJoinOfTheEnvironmentIsRefused(t *testing.T) {
	_, err := Load(Inputs{Environ: []string{"FLOTILLA_JOIN="}})
	if err == nil || !strings.Contains(err.Error(), "environment FLOTILLA_JOIN: is given and names nothing") {
		t.Errorf("got %v", err)
	}
	if c := mustLoad(t, Inputs{File: write(t, "join: []\n")}); len(c.Join) != 0 {
		t.Errorf("no seeds: %q", c.Join)
	}
}

func TestUnknownVariableIsAWarning(t *testing.T) {
	c := mustLoad(t, Inputs{Environ: []string{"FLOTILLA_NAMES=x", "FLOTILLA_ADDR=ignored", "FLOTILLA_SERVICE_HOST=1"}})
	if len(c.Warnings) != 2 || !strings.Contains(c.Warnings[0], `did you mean "FLOTILLA_NAME"?`) {
		t.Errorf("warnings: %q", c.Warnings)
	}
}

func TestKeyIsTheSameWithAndWithoutALineEnd(t *testing.T) {
	load := func(content string) Config {
		return mustLoad(t, Inputs{Flags: map[string]string{"cluster_key_file": write(t, content), "http_addr": "10.0.0.1:7601"}})
	}
	a, b := load("0123456789abcdef"), load("0123456789abcdef\n")
	if !a.Secured() || string(a.ClusterKey) != string(b.ClusterKey) {
		t.Errorf("keys differ: %x, %x", a.ClusterKey, b.ClusterKey)
	}
	if c := load("another secret of enough bytes"); string(c.ClusterKey) == string(a.ClusterKey) {
		t.Error("two secrets gave one key")
	}
	_, err := Load(Inputs{Flags: map[string]string{"cluster_key_file": write(t, "short")}})
	if err == nil || !strings.Contains(err.Error(), "holds 5 bytes") {
		t.Errorf("short key: %v", err)
	}
}

func TestPrintedConfigurationLoadsToTheSame(t *testing.T) {
	const secret = "a secret that nobody may ever see"
	first := mustLoad(t, Inputs{Flags: map[string]string{
		"join": "127.0.0.1:1,127.0.0.1:2", "storage.window": "90m", "auto_create": "false", "zone": "a:b",
		"cluster_key_file": write(t, secret), "storage.log_retention": "64MiB", "coordinator.replica_factor": "5",
	}})
	var printed strings.Builder
	if err := first.WriteYAML(&printed); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(printed.String(), secret) {
		t.Error("the key was printed")
	}
	second := mustLoad(t, Inputs{File: write(t, printed.String())})
	for _, s := range Settings() {
		if s.Get(&first) != s.Get(&second) {
			t.Errorf("%s: %q became %q in\n%s", s.Key, s.Get(&first), s.Get(&second), &printed)
		}
	}
}

func TestEverySettingPrintsWhatItReads(t *testing.T) {
	for _, s := range Settings() {
		c := Defaults()
		if got := s.Get(&c); got != s.Default {
			t.Errorf("%s: default %q is printed as %q", s.Key, s.Default, got)
		}
		if s.Doc == "" || s.Category == "" {
			t.Errorf("%s has no doc or category", s.Key)
		}
	}
}

func TestClusterSettings(t *testing.T) {
	key, value, err := CheckClusterSetting("coordinator.replica_factor", "5")
	if key != "replication.factor" || value != "5" || err != nil {
		t.Errorf("got %s=%s, %v", key, value, err)
	}
	for key, want := range map[string]string{
		"storage.log_retention": "belongs to each node", "coordinator.total_groups": "was fixed",
		"replication.facto": "did you mean", "replication.factor": "is not a whole number",
	} {
		if _, _, err := CheckClusterSetting(key, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", key, err, want)
		}
	}
	c := Defaults()
	changed, err := c.With(map[string]string{"replication.factor": "5", "name": "x", "of.a.newer.release": "1"})
	if err != nil || changed.Replication.Factor != 5 || c.Replication.Factor != 3 || changed.Name != "n1" {
		t.Errorf("got %+v, %v", changed.Replication, err)
	}
	if c.Source("replication.factor") != SourceDefault || changed.Source("replication.factor") != SourceCluster {
		t.Error("With changed the original, or hid its source")
	}
}

// One value that this binary refuses does not take the others with it.
func TestClusterSettingThatIsRefusedLeavesTheOthers(t *testing.T) {
	c := Defaults()
	changed, err := c.With(map[string]string{"replication.factor": "5", "storage.sync.rate": "1KiB", "storage.sync.max_attempts": "7"})
	if err == nil || !strings.Contains(err.Error(), "storage.sync.rate") {
		t.Errorf("got %v", err)
	}
	if changed.Replication.Factor != 5 || changed.Storage.Sync.MaxAttempts != 7 || changed.Storage.Sync.Rate != 0 {
		t.Errorf("got %+v, %+v", changed.Replication, changed.Storage.Sync)
	}
}

// A rate is none, or high enough for a source not to look silent.
func TestLowestRateOfCopies(t *testing.T) {
	for value, ok := range map[string]bool{"0": true, "0B": true, "1B": false, "255KiB": false, "256KiB": true, "1GiB": true, "-1": false} {
		c := Defaults()
		s, _ := Find("storage.sync.rate")
		if err := s.set(&c, value); (err == nil) != ok {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestUnits(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "4096": 4096, "1KiB": 1024, "1.5GiB": 3 << 29, "2MB": 2e6, "7 GiB": 7 << 30, "5B": 5} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("size %q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "GiB", "-1", "1e400", "0x10", "NaN", "Inf", "2EiB", "1_000"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("size %q accepted as %d", in, got)
		}
	}
	for in, want := range map[string]time.Duration{"90d": 90 * day, "2w": 14 * day, "1d12h": 36 * time.Hour, "1w1d": 8 * day, "500ms": 500 * time.Millisecond, "0": 0} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("duration %q: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "5", "d", "1d-2h", "1.5d", "40000d", "9999999h", "1d1w"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("duration %q accepted as %s", in, got)
		}
	}
	for d, want := range map[time.Duration]string{24 * time.Hour: "24h", 90 * day: "90d", 15 * time.Second: "15s", 90 * time.Minute: "1h30m", 500 * time.Millisecond: "500ms", 0: "0s"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("format %s: %q, want %q", d, got, want)
		}
	}
}

func TestSettingOfEitherScopeIsTheNodesOwnIfItHasOne(t *testing.T) {
	table := map[string]string{"storage.sync.enabled": "false", "storage.sync.max_concurrent_syncs": "2"}
	c := mustLoad(t, Inputs{Flags: map[string]string{"storage.sync.enabled": "true"}})
	changed, err := c.With(table)
	if err != nil {
		t.Fatal(err)
	}
	if sync := changed.Storage.Sync; !sync.Enabled || sync.MaxConcurrent != 2 {
		t.Errorf("got %+v: the flag of the node goes before the table, the table before the default", sync)
	}
	if source := changed.Source("storage.sync.max_concurrent_syncs"); source != SourceCluster {
		t.Errorf("the value of the table is said to come from %q", source)
	}
	for key := range c.ClusterValues() {
		if strings.HasPrefix(key, "storage.sync.") {
			t.Errorf("a new cluster is given %s, which one node was started with", key)
		}
	}
}
