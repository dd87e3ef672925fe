package directory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// flipRounds are made in go test, so many times more with SOAK=n in the environment.
const flipRounds = 64

func times(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("SOAK"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}

// flips are rounds of bytes that go bad in what one of three replicas has on disk.
type flips struct {
	*network
	members []*member
	random  *rand.Rand
	written int
	came    map[string]int // how often what became of a class
}

// flipClasses are kinds of bytes: where one of a member's lies. No path: there is none of the kind now.
var flipClasses = []struct {
	name  string
	place func(f *flips, dir string) (path string, at int)
}{
	{"meta page", func(f *flips, dir string) (string, int) {
		return f.inFile(dir, logName, func(b []byte) int { return f.random.IntN(2)*os.Getpagesize() + f.random.IntN(80) })
	}},
	{"freelist", func(f *flips, dir string) (string, int) { return f.inPage(dir, 0x10) }},
	{"branch", func(f *flips, dir string) (string, int) { return f.inPage(dir, 0x01) }},
	{"leaf", func(f *flips, dir string) (string, int) { return f.inPage(dir, 0x02) }},
	{"value of an entry", func(f *flips, dir string) (string, int) {
		return f.inFile(dir, logName, func(b []byte) int { return f.near(b, marker(1+f.random.IntN(f.written)), 60) })
	}},
	{"vote", func(f *flips, dir string) (string, int) {
		return f.inFile(dir, logName, func(b []byte) int { return f.near(b, string(keyVote)+string([]byte{voteVersion}), 20) })
	}},
	{"table of a snapshot", func(f *flips, dir string) (string, int) { return f.inSnapshot(dir, "state.bin") }},
	{"head of a snapshot", func(f *flips, dir string) (string, int) { return f.inSnapshot(dir, "meta.json") }},
	{"seal of a snapshot", func(f *flips, dir string) (string, int) { return f.inSnapshot(dir, sealFile) }},
}

// marker is a text that only one entry holds.
func marker(n int) string { return fmt.Sprintf("setting-number-%06d-", n) }

func (f *flips) inFile(dir, name string, place func(b []byte) int) (path string, at int) {
	f.t.Helper()
	path = filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	must(f.t, err)
	if at = place(b); at < 0 {
		return "", 0
	}
	return path, min(at, len(b)-1)
}

// near is a byte in or around one of the places that hold a text.
func (f *flips) near(b []byte, text string, around int) int {
	var all []int
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(text))
		if i < 0 {
			break
		}
		all = append(all, from+i)
		from += i + len(text)
	}
	if len(all) == 0 {
		return -1
	}
	return max(0, all[f.random.IntN(len(all))]-around+f.random.IntN(len(text)+2*around))
}

// inPage is a byte of a page of a kind, most often of its head and elements.
func (f *flips) inPage(dir string, kind uint16) (string, int) {
	return f.inFile(dir, logName, func(b []byte) int {
		size, all := os.Getpagesize(), []int{}
		for at := 2 * size; at+size <= len(b); at += size {
			if binary.NativeEndian.Uint64(b[at:]) == uint64(at/size) && binary.NativeEndian.Uint16(b[at+8:]) == kind {
				all = append(all, at)
			}
		}
		if len(all) == 0 {
			return -1
		}
		return all[f.random.IntN(len(all))] + f.random.IntN([]int{16, 80, size}[f.random.IntN(3)])
	})
}

func (f *flips) inSnapshot(dir, name string) (string, int) {
	f.t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, snapshotsDir, "*", name))
	must(f.t, err)
	if len(all) == 0 {
		return "", 0
	}
	path := all[f.random.IntN(len(all))]
	b, err := os.ReadFile(path)
	must(f.t, err)
	return path, f.random.IntN(len(b))
}

// flip lets a byte of a member's files go bad, and says which.
func (f *flips) flip(m *member) (class, did string) {
	f.t.Helper()
	for {
		c := flipClasses[f.random.IntN(len(flipClasses))]
		path, at := c.place(f, m.cfg.Dir)
		if path == "" {
			continue
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		must(f.t, err)
		b := make([]byte, 1)
		_, err = file.ReadAt(b, int64(at))
		must(f.t, err)
		b[0] ^= 1 << f.random.IntN(8)
		_, err = file.WriteAt(b, int64(at))
		must(f.t, errors.Join(err, file.Close()))
		return c.name, fmt.Sprintf("byte %d of %s is %#x", at, path[len(f.root):], b[0])
	}
}

// write changes settings, through any member.
func (f *flips) write(count int) {
	f.t.Helper()
	for range count {
		f.written++
		value := marker(f.written) + strings.Repeat("x", 300)
		m := f.members[f.random.IntN(len(f.members))]
		must(f.t, m.SetSetting(within(f.t, time.Minute), fmt.Sprint("key", f.written%7), value))
	}
}

// promised is what a replica must not have forgotten.
func promised(m *member) (v vote, last uint64) {
	last, _ = m.store.bolt.LastIndex()
	return m.store.bolt.lastVote(), last
}

// restart starts a member that is down. What is on disk is what it was, or it is refused; then the operator's way out, which a
// node takes by itself (cmd/internal/node/renewal.go): away with the directory, and in again as another.
func (f *flips) restart(i int, was vote, last uint64) (outcome string) {
	f.t.Helper()
	old := f.members[i]
	err := Examine(old.cfg.Dir, true)
	if err == nil {
		m := f.start(old.id, func(c *Config) { c.ExpectState = true })
		f.members[i] = m
		now, end := promised(m)
		if now.term < was.term || now.votedIn < was.votedIn || now.votedIn == was.votedIn && !bytes.Equal(now.candidate, was.candidate) {
			f.t.Errorf("%s: it had voted %+v, and knows of %+v", m.id, was, now)
		}
		if end < last {
			f.t.Errorf("%s: its log ends at %d in silence, it did at %d", m.id, end, last)
		}
		return "harmless"
	}
	if !errors.Is(err, ErrStateLost) {
		f.t.Errorf("%s: %v", old.id, err)
	}
	if _, again := Open(Config{Dir: old.cfg.Dir, Self: old.id, Transport: newTestTransport(old.id), Caller: caller{f.network, old.id}}); !errors.Is(again, ErrStateLost) {
		f.t.Errorf("%s: Examine says %v, Open %v", old.id, err, again)
	}
	must(f.t, os.RemoveAll(old.cfg.Dir))
	f.written++
	m := f.start(membership.NodeID{Name: old.id.Name, Incarnation: fmt.Sprintf("%08x", f.written)})
	f.members[i] = m
	f.join(m)
	awaitVoters(f.t, f.members, 3)
	return "another incarnation"
}

func (f *flips) round(n int) {
	f.t.Helper()
	f.write(1 + f.random.IntN(3))
	mustAgree(f.t, f.members...)
	i, down, scrubbed := f.random.IntN(len(f.members)), f.random.IntN(2) == 0, f.random.IntN(2) == 0
	m := f.members[i]
	if f.random.IntN(4) == 0 {
		must(f.t, m.raft().Snapshot().Error())
	}
	var class, did, when string
	if down {
		when = "down"
		v, last := promised(m)
		f.stop(m)
		class, did = f.flip(m)
		when += ": " + f.restart(i, v, last)
	} else {
		class, did = f.flip(m)
		f.write(2) // goes on, and its files are written
		if scrubbed {
			time.Sleep(scrubEvery + time.Second)
		}
		mustAgree(f.t, f.members...)
		v, last := promised(m)
		f.stop(m)
		outcome := f.restart(i, v, last)
		if when = "running: " + outcome; scrubbed {
			if when = "scrubbed: " + outcome; outcome != "harmless" {
				f.t.Errorf("round %d: %s was scrubbed after the flip: %s", n, m.id, did)
			}
		}
	}
	f.came[class+", "+when]++
	f.write(1)
	mustAgree(f.t, f.members...)
	leaderOf(f.t, f.members...)
	for k := range min(f.written, 7) {
		if got := f.members[i].Table().Settings[fmt.Sprint("key", k)]; !strings.HasPrefix(got, "setting-number-") {
			f.t.Errorf("key%d is %q", k, got)
		}
	}
	if f.t.Failed() {
		f.t.Logf("round %d, %s, %s, down %v: %s", n, m.id, class, down, did)
	}
}

// Bytes go bad at random in raft.db and the snapshots of one replica, while it runs or is down: it panics nowhere, forgets
// neither vote nor entry in silence, and all tables stay the same. Either nothing is lost, or the start says that the state is.
func TestFlippedBytesOfTheMetaGroupAreHarmlessOrToldAtStart(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		f := &flips{network: n, random: rand.New(rand.NewPCG(61, uint64(times(t)))), came: make(map[string]int)}
		f.members = n.cluster(3, 64)
		awaitVoters(t, f.members, 3)
		f.write(60)
		mustAgree(t, f.members...)
		for _, m := range f.members {
			trimBehindSnapshot(t, m)
		}
		f.write(60)
		for i := range flipRounds * times(t) {
			if f.round(i); t.Failed() {
				break
			}
		}
		var lines []string
		for what, count := range f.came {
			lines = append(lines, fmt.Sprintf("%3d %s", count, what))
		}
		slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[4:], b[4:]) })
		t.Logf("%d entries\n%s", f.written, strings.Join(lines, "\n"))
	})
}
