package node

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

func TestLoneNodeKeepsWhatItAcked(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Defaults()
	cfg.DataDir, cfg.RPCAddr, cfg.HTTPAddr, cfg.GossipAddr = dir, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	n, err := Start(cfg, Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	select {
	case <-n.ready.done:
	case err := <-n.Failed():
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal(n.ready.Missing())
	}
	c, err := client.New(client.Options{Addrs: []string{n.addrs.rpc}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := storage.Point{Series: storage.Series{Database: "d", Collection: "c", Device: "x"}, Time: 5, Fields: []storage.Field{{Name: "f", Value: blocks.Float(1.5)}}}
	began := time.Now()
	if _, err := c.Write(t.Context(), []client.Point{p}); err != nil {
		t.Fatal(err)
	}
	t.Log("first write", time.Since(began))
	began = time.Now()
	if _, err := c.Write(t.Context(), []client.Point{p}); err != nil {
		t.Fatal(err)
	}
	t.Log("second write", time.Since(began))
}
