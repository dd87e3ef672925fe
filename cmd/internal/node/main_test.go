package node

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

func TestMain(m *testing.M) {
	// memberlist does not wait for a probe of a node that does not answer: it
	// ends by itself, seconds later.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// patience bounds what a test waits for; it is far longer than it takes.
const patience = 60 * time.Second

// settingsOf are those of a node on loopback with free ports.
func settingsOf(t *testing.T, name, dir string, join ...string) config.Config {
	t.Helper()
	flags := map[string]string{
		"name": name, "data_dir": dir, "rpc_addr": "127.0.0.1:0", "http_addr": "127.0.0.1:0", "gossip_addr": "127.0.0.1:0",
		"coordinator.total_groups": "8",
	}
	cfg, err := config.Load(config.Inputs{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Join = join
	return cfg
}

// start starts a node and ends it with the test.
func start(t *testing.T, cfg config.Config) *Node {
	t.Helper()
	n, err := Start(cfg, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close %s: %v", n.id, err)
		}
	})
	return n
}

func awaitReady(t *testing.T, nodes ...*Node) {
	t.Helper()
	limit := time.After(patience)
	for _, n := range nodes {
		select {
		case <-n.Ready():
		case err := <-n.Failed():
			t.Fatalf("%s: %v", n.id, err)
		case <-limit:
			t.Fatalf("%s is not ready: %v", n.id, n.Missing())
		}
	}
}

// await waits until a condition on the table of a node holds.
func await(t *testing.T, n *Node, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %s", n.id, what)
		}
	}
}

// sdk is a client of one node that tries once, patientSDK one that repeats.
func sdk(t *testing.T, n *Node) *client.Client        { return sdkOf(t, n, -1) }
func patientSDK(t *testing.T, n *Node) *client.Client { return sdkOf(t, n, patience) }

func sdkOf(t *testing.T, n *Node, retryFor time.Duration) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Addrs: []string{n.addrs.rpc}, RetryFor: retryFor})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func pointOf(device string, at int64, value float64) client.Point {
	return storage.Point{
		Series: storage.Series{Database: "d", Collection: "c", Device: device}, Time: at,
		Fields: []storage.Field{{Name: "f", Value: blocks.Float(value)}},
	}
}

func nodeID(t *testing.T, text string) membership.NodeID {
	t.Helper()
	id, err := membership.ParseNodeID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
