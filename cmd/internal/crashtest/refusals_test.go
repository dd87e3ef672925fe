package crashtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A start that cannot be is refused in one clear line, with the right exit code, and changes nothing.
func TestStartThatCannotBeChangesNothing(t *testing.T) {
	binary(t, "") // skips with -short
	used := t.TempDir()
	stopAtOnce(t, used, "--name", "n1")
	foreign := t.TempDir()
	must(t, os.WriteFile(filepath.Join(foreign, "letters.txt"), []byte("not ours"), 0o600))
	garbled := t.TempDir()
	must(t, os.WriteFile(filepath.Join(garbled, "node.json"), []byte("{"), 0o600))
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	port := taken.Addr().String()

	for _, c := range []struct {
		name, dir string
		args      []string
		code      int
		says      string
	}{
		{"RPCPortInUse", "", []string{"--rpc-addr", port}, 1, `rpc.*address already in use.*hint: --rpc-addr`},
		{"HTTPPortInUse", "", []string{"--http-addr", port}, 1, `http.*address already in use.*hint: --http-addr`},
		{"GossipPortInUse", "", []string{"--gossip-addr", port}, 1, `gossip.*address already in use.*hint: --gossip-addr`},
		{"ForeignDirectory", foreign, nil, 1, `is not empty and has no node.json.*hint`},
		{"UnreadableIdentity", garbled, nil, 1, `node.json in .* is unreadable`},
		{"DirectoryOfAnotherNode", used, []string{"--name", "n2"}, 1, `belongs to node "n1", not to "n2".*hint`},
		{"DirectoryOfAnotherCluster", used, []string{"--name", "n1", "--cluster", "other"}, 1, `belongs to cluster "flotilla", not to "other".*hint`},
		{"DirectoryOfAnotherLogEngine", used, []string{"--log-engine", "boltdb"}, 2, `logs in .* are of --log-engine shared, not boltdb.*hint`},
		{"ClusterOfOtherGroups", used, []string{"--coordinator.total-groups", "16"}, 2, `total_groups 256, not 16.*hint`},
		{"ClusterOfAnotherWindow", used, []string{"--storage.window", "1h"}, 2, `storage.window 24h, not 1h.*hint`},
		{"DirectoryIsAFile", file, nil, 1, `not a directory`},
		{"OpenToTheWorldWithoutAKey", "", []string{"--rpc-addr", "0.0.0.0:0"}, 2, `--cluster-key-file.*--insecure`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := c.dir
			if dir == "" {
				dir = filepath.Join(t.TempDir(), "data")
			}
			refused(t, dir, c.code, c.says, c.args...)
		})
	}
}

// A node that belongs to one cluster does not join another; one with another --cluster never gets in, says why, and
// makes no cluster of its own.
func TestJoinOfAWrongCluster(t *testing.T) {
	r := newRig(t, plan{nodes: 1, devices: 1, rate: 1})
	seed := r.Processes[0].GossipAddr
	t.Run("MemberOfAnother", func(t *testing.T) {
		dir := t.TempDir()
		stopAtOnce(t, dir, "--name", "stranger")
		c := startCommand(t, t.Context(), dir, "--name", "stranger", "--join", seed)
		out, err := c.CombinedOutput()
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok || failed.ExitCode() != 1 || !regexp.MustCompile(`belongs to cluster .* this node to .*: check --join`).Match(out) {
			t.Errorf("ended with %v: %s", err, out)
		}
	})
	t.Run("OtherLabel", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := startCommand(t, ctx, dir, "--name", "stranger", "--cluster", "other", "--join", seed, "--log-level", "warn")
		said, err := c.StderrPipe()
		must(t, err)
		must(t, c.Start())
		lines := bufio.NewScanner(said)
		for lines.Scan() && !strings.Contains(lines.Text(), "is it of another --cluster") {
		}
		if !strings.Contains(lines.Text(), seed) {
			t.Errorf("the last line does not say which seed is wrong: %q", lines.Text())
		}
		cancel()
		io.Copy(io.Discard, said)
		c.Wait()
	})
	if nodes := r.nodeNames(); len(nodes) != 1 {
		t.Errorf("the cluster has nodes %v", nodes)
	}
}

// refused runs a start that must end with a code and one line, and leave the directory as it was.
func refused(t *testing.T, dir string, code int, says string, args ...string) {
	t.Helper()
	before := contents(t, dir)
	c := startCommand(t, t.Context(), dir, args...)
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	failed, ok := errors.AsType[*exec.ExitError](c.Run())
	if !ok || failed.ExitCode() != code {
		t.Errorf("ended with %v, want exit code %d\n%s%s", failed, code, &out, &said)
	}
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if len(lines) != 1 || !regexp.MustCompile(says).MatchString(lines[0]) || out.Len() > 0 {
		t.Errorf("says %q and %q, want one line of %q", &said, &out, says)
	}
	if after := contents(t, dir); c.ProcessState.ExitCode() != 0 && after != before {
		t.Errorf("the directory was changed: before\n%s\nafter\n%s", before, after)
	}
}

// startCommand is a start on free ports of loopback.
func startCommand(t *testing.T, ctx context.Context, dir string, args ...string) *exec.Cmd {
	t.Helper()
	words := []string{"start", "--data-dir", dir}
	if !strings.Contains(strings.Join(args, " "), "--log-level") {
		words = append(words, "--log-level", "error")
	}
	for _, port := range []string{"--rpc-addr", "--http-addr", "--gossip-addr"} {
		if !strings.Contains(strings.Join(args, " "), port) {
			words = append(words, port, "127.0.0.1:0")
		}
	}
	return exec.CommandContext(ctx, binary(t, ""), append(words, args...)...)
}

// stopAtOnce makes a data directory: a node that is started, and stopped when it is ready.
func stopAtOnce(t *testing.T, dir string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := startCommand(t, ctx, dir, args...)
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	var said bytes.Buffer
	for part := make([]byte, 4096); !strings.Contains(said.String(), "all led"); {
		n, err := out.Read(part)
		said.Write(part[:n])
		if err != nil {
			t.Fatalf("the node ended before it was ready: %v: %s", err, &said)
		}
	}
	must(t, c.Process.Signal(os.Interrupt))
	must(t, c.Wait())
}

// contents lists what a directory holds, "" for one that is absent.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		raw := []byte(nil)
		if !e.IsDir() {
			raw, err = os.ReadFile(path)
		}
		b.WriteString(path + " " + string(raw) + "\n")
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return b.String()
}
