package clustertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
)

// logScene is three nodes with a log engine each: n1's has just started, so that
// its memory holds nothing, n2 keeps a file a group, n3 has everything in memory.
type logScene struct {
	*rotScene
	t *testing.T
}

const onDisk, inFiles, inMemory = 0, 1, 2

func newLogScene(t *testing.T) *logScene {
	t.Helper()
	s := &logScene{&rotScene{Cluster: StartNew(t, 3, func(i int, c *config.Config) {
		if i == inFiles {
			c.LogEngine = config.LogEngineBoltDB
		}
	})}, t}
	s.devices = devicesOfAllGroups()[:len(logDamages)]
	s.write(1)
	s.awaitLevel()
	s.Crash(onDisk)
	s.Start(onDisk)
	s.AwaitReady()
	s.awaitLevel()
	return s
}

// marker is a text that only one entry of the logs holds.
func marker(group uint32, at int64) string {
	return fmt.Sprintf("entry-of-group-%03d-at-%03d-end", group, at)
}

// write writes one entry to each group.
func (s *logScene) write(at int64) {
	s.t.Helper()
	for group, device := range s.devices {
		p := point(device, at, at)
		p.Fields = append(p.Fields, client.Field{Name: "text", Value: client.Text(marker(uint32(group), at))})
		ctx, cancel := context.WithTimeout(s.t.Context(), opTimeout)
		_, err := s.Client().Write(ctx, []client.Point{p})
		cancel()
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// files of a node that hold a text.
func (s *logScene) files(node int, pattern string, text []byte) (paths []string) {
	s.t.Helper()
	all, err := filepath.Glob(filepath.Join(s.nodes[node].Config.DataDir, pattern))
	must(s.t, err)
	for _, path := range all {
		b, err := os.ReadFile(path)
		must(s.t, err)
		if bytes.Contains(b, text) {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		s.t.Fatalf("%q is in no file of %s like %s", text, s.nodes[node].Name, pattern)
	}
	return paths
}

// flipAll flips a bit at a place that is found from each copy of a text.
func (s *logScene) flipAll(node int, pattern string, text []byte, place func(b []byte, at int) int) {
	s.t.Helper()
	for _, path := range s.files(node, pattern, text) {
		b, err := os.ReadFile(path)
		must(s.t, err)
		for from := 0; ; {
			i := bytes.Index(b[from:], text)
			if i < 0 {
				break
			}
			at := place(b, from+i)
			overwrite(s.t, path, int64(at), []byte{b[at] ^ 2})
			from += i + len(text)
		}
	}
}

// record is where the record of the shared log begins that holds a place, and where
// its batch does.
func record(b []byte, at int) (record, batch int) {
	batch = bytes.LastIndex(b[:at], []byte("FLb1"))
	for record = batch + 40; ; {
		next := record + 8 + int(binary.LittleEndian.Uint32(b[record+4:]))
		if next > at {
			return record, batch
		}
		record = next
	}
}

// directory finds a place in the directory of the batch that a place is in.
func directory(b []byte, at int) int {
	_, batch := record(b, at)
	return batch + int(binary.LittleEndian.Uint32(b[batch+28:])) + 1
}

// logDamage is one place of a log, or of the votes.
type logDamage struct {
	name  string
	node  int
	kind  string // of the finding
	spoil func(s *logScene, group uint32)
}

func segmentByte(name string, node int, place func(b []byte, at int) int) logDamage {
	return logDamage{name, node, api.FindingLog, func(s *logScene, group uint32) {
		s.flipAll(node, "log/*.wal", []byte(marker(group, 1)), place)
	}}
}

func raftFileByte(name string, place func(b []byte, at int) int) logDamage {
	return logDamage{name, inFiles, api.FindingLog, func(s *logScene, group uint32) {
		s.flipAll(inFiles, fmt.Sprintf("groups/%d/raft.db", group), []byte(marker(group, 1)), place)
	}}
}

// raftFileMeta is a page of the file that no read of an entry comes by.
func raftFileMeta(name string, page int) logDamage {
	return logDamage{name, inFiles, api.FindingLog, func(s *logScene, group uint32) {
		const checksum = 16 + 56 // of a meta page
		for _, path := range s.files(inFiles, fmt.Sprintf("groups/%d/raft.db", group), []byte(marker(group, 1))) {
			b, err := os.ReadFile(path)
			must(s.t, err)
			at := page*os.Getpagesize() + checksum
			overwrite(s.t, path, int64(at), []byte{b[at] ^ 2})
		}
	}}
}

func voteByte(name string, node int, place func(b []byte, at int) int) logDamage {
	return logDamage{name, node, api.FindingMetadata, func(s *logScene, group uint32) {
		s.flipAll(node, "votes.db", binary.BigEndian.AppendUint32([]byte("vote"), group), func(b []byte, at int) int { return place(b, at+8) })
	}}
}

// behind finds the place a few bytes behind the next copy of a text.
func behind(text string, n int) func(b []byte, at int) int {
	return func(b []byte, at int) int { return at + bytes.Index(b[at:], []byte(text)) + len(text) + n }
}

var logDamages = []logDamage{
	{"nothing", inMemory, "", func(*logScene, uint32) {}},
	segmentByte("payload", onDisk, func(_ []byte, at int) int { return at + 3 }),
	segmentByte("CRC of a record", onDisk, func(b []byte, at int) int { r, _ := record(b, at); return r + 1 }),
	segmentByte("length of a record", onDisk, func(b []byte, at int) int { r, _ := record(b, at); return r + 4 }),
	segmentByte("head of a record", onDisk, func(b []byte, at int) int { r, _ := record(b, at); return r + 9 }),
	segmentByte("payload, known", inMemory, func(_ []byte, at int) int { return at + 3 }),
	segmentByte("CRC of a record, known", inMemory, func(b []byte, at int) int { r, _ := record(b, at); return r + 2 }),
	segmentByte("length of a record, known", inMemory, func(b []byte, at int) int { r, _ := record(b, at); return r + 5 }),
	segmentByte("header of a segment", onDisk, func([]byte, int) int { return 4 }),
	segmentByte("header of a segment, known", inMemory, func([]byte, int) int { return 4 }),
	segmentByte("header of a batch", onDisk, func(b []byte, at int) int { _, batch := record(b, at); return batch + 8 }),
	segmentByte("header of a batch, known", inMemory, func(b []byte, at int) int { _, batch := record(b, at); return batch + 8 }),
	segmentByte("directory of a batch", onDisk, directory),
	segmentByte("directory of a batch, known", inMemory, directory),
	raftFileByte("payload", func(_ []byte, at int) int { return at + 3 }),
	raftFileByte("CRC", behind("Extensions", 2)),
	raftFileMeta("first meta page", 0),
	raftFileMeta("second meta page", 1),
	voteByte("term", onDisk, func(_ []byte, at int) int { return at + 9 }),
	voteByte("version", inFiles, func(_ []byte, at int) int { return at }),
	voteByte("lineage", inMemory, func(_ []byte, at int) int { return at + 30 }),
}

// A byte of the log or of the votes goes bad on a node that runs: a deep check names
// node and kind, and nobody else; what memory holds is written anew, what it does
// not hold the shard does; nothing that was acked is missing. Then bytes go bad at
// random, on nodes that run and that are down.
func TestDamagedLogsAndVotesAreFoundByADeepCheck(t *testing.T) {
	Run(t, time.Duration(5*times(t))*time.Minute, func(t *testing.T) {
		s := newLogScene(t)
		last := make(map[string]uint64)
		each := func(f func(what string, group uint32, i int)) {
			for group := range logDamages {
				for i := range s.nodes {
					f(fmt.Sprintf("group %d on %s", group, s.nodes[i].Name), uint32(group), i)
				}
			}
		}
		each(func(what string, group uint32, i int) {
			g, _ := s.Group(i, group)
			last[what] = g.Status().LogLast
		})
		for group, d := range logDamages {
			group := uint32(group)
			d.spoil(s, group)
			time.Sleep(2 * time.Second) // a deep check goes by votes that were read a moment ago
			r := s.verify(t, api.VerifyRequest{Groups: []uint32{group}, Mode: api.ModeVerify, Deep: true})
			found := slices.ContainsFunc(r.Findings, func(f api.Finding) bool {
				return f.Node == s.nodes[d.node].Name && f.Kind == d.kind && f.Verdict == api.FoundUnreadable && f.Detail != ""
			})
			if found != (d.kind != "") || slices.ContainsFunc(r.Findings, func(f api.Finding) bool { return f.Node != s.nodes[d.node].Name || f.Kind != d.kind }) {
				t.Errorf("%s of %s: %+v, %+v", d.name, s.nodes[d.node].Name, r.Findings, r.Unchecked)
			}
			if d.node == inMemory || d.kind == api.FindingMetadata { // mended on the spot
				if slices.ContainsFunc(r.Findings, func(f api.Finding) bool { return f.Action != api.ActionRepaired }) || r.ExitCode() != 0 {
					t.Errorf("%s of %s: %+v", d.name, s.nodes[d.node].Name, r.Findings)
				}
			}
		}
		r := s.verify(t, api.VerifyRequest{Deep: true, Repair: true})
		if r.ExitCode() != 0 {
			t.Errorf("repair: %+v, %+v", r.Findings, r.Unchecked)
		}
		time.Sleep(2 * time.Second)
		if r = s.verify(t, api.VerifyRequest{Deep: true}); r.ExitCode() != 0 || len(r.Findings) > 0 {
			t.Errorf("again: %+v, %+v", r.Findings, r.Unchecked)
		}
		each(func(what string, group uint32, i int) {
			g, _ := s.Group(i, group)
			if st := g.Status(); st.LogLast < last[what] || st.State.String() != api.ReplicaReady {
				t.Errorf("%s: the log ends at %d, before it did at %d; %s %s", what, st.LogLast, last[what], st.State, st.Why)
			}
		})
		s.write(2)
		for i := range s.nodes { // and after a restart, by what is on disk
			s.Crash(i)
			s.Start(i)
			s.AwaitReady()
		}
		s.AwaitLeaders(time.Minute)
		s.awaitLevel()
		for i := range s.nodes {
			texts := make(map[string]bool)
			err := s.Client(i).Query(t.Context(), client.Query{Database: database, Collection: collection}, func(_ string, c *client.Columns) error {
				for row := range c.Times {
					v, _ := c.Lookup(row, "text")
					texts[v.Str] = true
				}
				return nil
			})
			if err != nil || len(texts) != 2*len(logDamages) {
				t.Errorf("through %s: %d of %d entries are there, %v", s.nodes[i].Name, len(texts), 2*len(logDamages), err)
			}
		}
		if _, err := s.CompareRoots(); err != nil {
			t.Error(err)
		}
		s.flipAtRandom(2)
	})
}
