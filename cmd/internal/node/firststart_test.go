package node

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/flotilla-db/flotilla/membership/gossip"
)

func TestNameThatIsTakenLeavesNothingBehind(t *testing.T) {
	n1 := start(t, settingsOf(t, "n1", t.TempDir()))
	awaitReady(t, n1)
	mounted := t.TempDir() // a fresh file system
	if err := os.Mkdir(filepath.Join(mounted, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"n2": filepath.Join(t.TempDir(), "absent"), "n3": mounted} {
		before := names(t, dir)
		second, err := Start(settingsOf(t, "n1", dir, n1.addrs.gossip), Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-second.Failed(); !errors.Is(err, gossip.ErrNameTaken) {
			t.Fatal(err)
		}
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		if after := names(t, dir); after != before {
			t.Errorf("%s is left, before %s", after, before)
		}
		awaitReady(t, start(t, settingsOf(t, name, dir, n1.addrs.gossip))) // what the hint says
	}
}

func TestPortInUseLeavesNothingBehind(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := filepath.Join(t.TempDir(), "data")
	cfg := settingsOf(t, "n1", dir)
	cfg.GossipAddr = taken.Addr().String()
	if _, err := Start(cfg, Options{Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Fatal("the port is taken")
	}
	if left := names(t, dir); left != "absent" {
		t.Error(left)
	}
	n := start(t, settingsOf(t, "n1", dir))
	awaitReady(t, n)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	if _, err := Start(cfg, Options{Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Fatal("the port is taken")
	}
	if after := names(t, dir); after != before {
		t.Errorf("a node's directory: %s, before %s", after, before)
	}
}

func TestStartIsNotTakenBackOnceOthersMayCountOnIt(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Node)
		kept   bool
	}{
		"refused":       {func(n *Node) { n.refused.Store(true) }, false},
		"stopped":       {func(*Node) {}, true},
		"asked to join": {func(n *Node) { n.refused.Store(true); n.asked.Store(true) }, true},
		"promised":      {func(n *Node) { n.refused.Store(true); n.identity.id.Promised = []string{"a.00000001"} }, true},
		"founder":       {func(n *Node) { n.refused.Store(true); n.identity.id.Founder = true }, true},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		n := &Node{first: noteFirstStart(dir)}
		lock, err := lockDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		id, err := openIdentity(dir, asked{}, asked{name: "n1", cluster: "flotilla", engine: "shared"})
		if err != nil {
			t.Fatal(err)
		}
		n.identity = &identityBook{dir: dir, id: id}
		c.change(n)
		if err := errors.Join(n.takeBack(), lock.Close()); err != nil {
			t.Fatal(err)
		}
		if kept := names(t, dir) != "absent"; kept != c.kept {
			t.Errorf("%s: kept %v", name, kept)
		}
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "absent"
	}
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range entries {
		text += e.Name() + " "
	}
	return text
}

func TestLockFileThatWasRemovedLocksNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockFile)
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	first := open()
	if !isStill(first, path) {
		t.Fatal("it is the file of the path")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if isStill(first, path) {
		t.Fatal("the path names nothing")
	}
	if second := open(); isStill(first, path) || !isStill(second, path) {
		t.Fatal("the path names the second file")
	}
}
