package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/client"
)

// configured is a node on loopback that was asked for some settings.
func configured(t *testing.T, dir string, asked map[string]string) config.Config {
	t.Helper()
	flags := map[string]string{"data_dir": dir, "rpc_addr": "127.0.0.1:0", "http_addr": "127.0.0.1:0", "gossip_addr": "127.0.0.1:0"}
	for key, value := range asked {
		flags[key] = value
	}
	cfg, err := config.Load(config.Inputs{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestWhatIsFixedInADirectoryIsNotChanged(t *testing.T) {
	for _, engine := range []string{config.LogEngineShared, config.LogEngineBoltDB} {
		t.Run(engine, func(t *testing.T) {
			other := map[string]string{config.LogEngineShared: config.LogEngineBoltDB, config.LogEngineBoltDB: config.LogEngineShared}[engine]
			dir := t.TempDir()
			made := map[string]string{"log_engine": engine, "coordinator.total_groups": "8", "storage.window": "12h"}
			n := start(t, configured(t, dir, made))
			awaitReady(t, n)
			if _, err := patientSDK(t, n).Write(t.Context(), []client.Point{pointOf("x", 5, 1.5)}); err != nil {
				t.Fatal(err)
			}
			await(t, n, "membership is not written down", func() bool { return n.identity.get().Joined })
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			refused := func(key, value, says string) {
				t.Helper()
				_, err := Start(configured(t, dir, map[string]string{key: value}), Options{Logger: slog.New(slog.DiscardHandler)})
				if !errors.Is(err, ErrFixed) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "hint:") {
					t.Errorf("%s %s: %v", key, value, err)
				}
				if after := listing(t, dir); after != before {
					t.Errorf("%s %s changed the directory", key, value)
				}
			}
			refused("log_engine", other, "are of --log-engine "+engine)
			refused("coordinator.total_groups", "16", "total_groups 8, not 16")
			refused("storage.window", "24h", "storage.window 12h, not 24h")

			// A directory of before the engine was recorded.
			raw, err := os.ReadFile(filepath.Join(dir, identityFile))
			if err != nil {
				t.Fatal(err)
			}
			old := strings.Replace(string(raw), `"log_engine": "`+engine+`"`, `"log_engine": ""`, 1)
			if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(old), 0o600); err != nil {
				t.Fatal(err)
			}
			before = listing(t, dir)
			refused("log_engine", other, "are of --log-engine "+engine)

			again := start(t, configured(t, dir, nil)) // nothing asked for: the directory's, whatever the default is
			awaitReady(t, again)
			if got := again.identity.get().LogEngine; got != engine || again.engine.Name() != engine {
				t.Errorf("recorded %q, runs %s", got, again.engine.Name())
			}
			groups, err := again.gateway.Groups(t.Context())
			if err != nil || len(groups) != 1 || groups[0].Replicas[0].Points != 1 {
				t.Errorf("%+v, %v", groups, err)
			}
		})
	}
}

func TestEngineOfADirectoryWithLogsOfBothIsTheOperatorsToName(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{filepath.Join(logDir, "0000000000000001.wal"), filepath.Join(groupsDir, "7", "raft.db")} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := inferEngine(dir, "", config.LogEngineShared); !errors.Is(err, ErrFixed) {
		t.Error(err)
	}
	if got, err := inferEngine(dir, config.LogEngineBoltDB, config.LogEngineShared); err != nil || got != config.LogEngineBoltDB {
		t.Errorf("%q, %v", got, err)
	}
}
