//go:build unix

package storage

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// fillerLeaves makes leaves of random 64-bit floats: so many series of so many rows in each.
func fillerLeaves(b testing.TB, leaves, series, rows int) (entries []digest.Entry, bytes [][]byte, total int64) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var keys [Slots][][]byte
	for n, full := 0, 0; full < Slots; n++ {
		key := Series{"bench", "filler", fmt.Sprintf("dev-%06d", n)}.Key()
		if slot := SlotOf(key); len(keys[slot]) < series {
			if keys[slot] = append(keys[slot], key); len(keys[slot]) == series {
				full++
			}
		}
	}
	windowNs := int64(DefaultWindow)
	for i := range leaves {
		leaf := digest.Leaf{Window: 19000 + int64(i/Slots), Slot: uint8(i % Slots)}
		var w leafBuffer
		h := digest.NewLeafWriter(&w, leaf, uint32(blocks.FormatVersion))
		for _, key := range keys[leaf.Slot] {
			if err := h.Series(key); err != nil {
				b.Fatal(err)
			}
			for start := 0; start < rows; start += blocks.MaxRows {
				var cols blocks.Columns
				for row := start; row < min(rows, start+blocks.MaxRows); row++ {
					cols.Times = append(cols.Times, leaf.Window*windowNs+int64(row)*1e9)
				}
				for _, name := range []string{"a", "b", "c"} {
					col := blocks.Column{Name: name, Kind: blocks.Float64}
					for range cols.Times {
						col.Nums = append(col.Nums, blocks.Float(random.NormFloat64()).Num)
					}
					cols.Cols = append(cols.Cols, col)
				}
				block, err := blocks.EncodeRows(nil, &cols, 0, cols.Len())
				if err != nil {
					b.Fatal(err)
				}
				if err := h.Block(block); err != nil {
					b.Fatal(err)
				}
			}
		}
		d, err := h.Sum()
		if err != nil {
			b.Fatal(err)
		}
		entries = append(entries, digest.Entry{Leaf: leaf, LeafDigest: d})
		bytes = append(bytes, w)
		total += int64(len(w))
	}
	return entries, bytes, total
}

// cpuTime is what this process has used of its cores. On a machine that does other things, bytes a second of it say more
// than those of the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportCPU reports bytes a second of CPU since a time.
func reportCPU(b *testing.B, bytes int64, since time.Duration) {
	b.ReportMetric(float64(bytes)*float64(b.N)/1e6/(cpuTime()-since).Seconds(), "MB/cpu-s")
}

// leafShapes are shards of large and of small blocks.
var leafShapes = []struct {
	name                 string
	leaves, series, rows int
}{
	{"blocks=98KB", 64, 10, 4096},
	{"blocks=2.4KB", 64, 400, 100},
	{"blocks=240B", 64, 4000, 10},
}

// BenchmarkStage measures Put and Commit of a shard of 64 MB on one goroutine, down to the disk, and its proof.
func BenchmarkStage(b *testing.B) {
	for _, shape := range leafShapes {
		b.Run(shape.name, func(b *testing.B) { benchmarkStage(b, shape.leaves, shape.series, shape.rows) })
	}
}

func benchmarkStage(b *testing.B, leaves, series, rows int) {
	entries, raw, total := fillerLeaves(b, leaves, series, rows)
	fill := func(b *testing.B) *Stage {
		s, err := OpenStage(StageOptions{Path: filepath.Join(b.TempDir(), "stage"), Identity: testIdentity, InitialMmapSize: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		for i := len(raw) - 1; i >= 0; i-- {
			if err := s.Put(raw[i], entries[i]); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Commit(); err != nil {
			b.Fatal(err)
		}
		return s
	}
	b.Run("put", func(b *testing.B) {
		b.SetBytes(total)
		b.ReportAllocs()
		defer reportCPU(b, total, cpuTime())
		for b.Loop() {
			if err := fill(b).Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("prove", func(b *testing.B) {
		s := fill(b)
		defer s.Close()
		b.SetBytes(total)
		b.ReportAllocs()
		defer reportCPU(b, total, cpuTime())
		for b.Loop() {
			if _, err := (Assembly{Stage: s, Manifest: entries}).Prove(b.Context(), []byte("key")); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCopy says what the parts of a copy cost, in ms of CPU a MB: of a shard of 4 MB, as one of 256 of 1 GB is.
func BenchmarkCopy(b *testing.B) {
	entries, raw, total := fillerLeaves(b, 112, 1, 1500)
	state, key, spent, from := benchState(b), []byte("key"), map[string]time.Duration{}, time.Duration(0)
	part := func(name string, err error) {
		if err != nil {
			b.Fatal(name, err)
		}
		spent[name] += cpuTime() - from
		from = cpuTime()
	}
	build := func(path string) {
		s, err := OpenStage(StageOptions{Path: path, Identity: testIdentity})
		for i := len(raw) - 1; i >= 0 && err == nil; i-- {
			err = s.Put(raw[i], entries[i])
		}
		part("verify", err)
		part("write", s.Seal(testIdentity, state, entries))
		_, err = Assembly{Stage: s, Manifest: entries}.Prove(b.Context(), key)
		part("prove", errors.Join(err, s.Close()))
	}
	source, target := filepath.Join(b.TempDir(), "source"), filepath.Join(b.TempDir(), "target")
	build(source)
	shard := mustOpen(b, Options{Path: source, Identity: testIdentity})
	view, err := shard.Look(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	clear(spent)
	var lent []byte
	for b.Loop() {
		from = cpuTime()
		build(target)
		opened, err := OpenShard(Options{Path: target, Identity: testIdentity})
		part("open", err)
		if err := errors.Join(opened.Close(), os.Remove(target)); err != nil {
			b.Fatal(err)
		}
		from = cpuTime()
		_, err = view.Prove(b.Context(), key)
		part("leader's_proof", err)
		for i := 0; i < len(entries) && err == nil; i++ {
			lent, err = view.AppendLeaf(b.Context(), lent[:0], entries[i].Leaf)
		}
		part("give", err)
		for i := range raw {
			sha256.Sum256(raw[i])
		}
		part("SHA-256_alone", nil)
	}
	for name, d := range spent {
		b.ReportMetric(float64(d.Microseconds())/1000/(float64(total)*float64(b.N)/1e6), name+"-ms/MB")
	}
	if err := errors.Join(view.Close(), shard.Close()); err != nil {
		b.Fatal(err)
	}
}

// benchState is the state of a shard that has applied one entry.
func benchState(b *testing.B) []byte {
	s := mustOpen(b, Options{Path: filepath.Join(b.TempDir(), "shard"), Identity: testIdentity})
	s.Apply([]Entry{{Index: 1, Term: 1, Data: AppendPut(nil, []Point{point("device", 0, "v", "x")})}})
	_, err := s.Flush(b.Context())
	var v *View
	if err == nil {
		v, err = s.Look(b.Context())
	}
	var state []byte
	if err == nil {
		state, err = v.State()
	}
	if err = errors.Join(err, v.Close(), s.Close()); err != nil {
		b.Fatal(err)
	}
	return state
}
