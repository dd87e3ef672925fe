package crashtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
)

// logDamages are what is done to a log file while its node is down.
var logDamages = []struct {
	name string
	do   func(b []byte) []byte
}{
	{"a meta page", func(b []byte) []byte { copy(b[16:], make([]byte, 64)); return b }},
	{"cut short", func(b []byte) []byte { return b[:5000] }},
	{"no bytes", func([]byte) []byte { return nil }},
	{"pages of zeroes", func(b []byte) []byte { clear(b[2*os.Getpagesize():]); return b }},
}

// A log whose file was damaged while its node was down: the replica says so, comes back as a new server, and is brought
// up to date by the others; the other groups of its node run.
func TestLogDamagedWhileTheNodeWasDown(t *testing.T) {
	t.Run("boltdb", func(t *testing.T) {
		r := newRig(t, plan{nodes: 3, devices: 40, rate: 300, args: []string{"--log-engine", "boltdb"}})
		r.logDamaged(func(p *fleet.Process) (damaged []uint32) {
			groups := r.ledBy(r.Processes[0], len(logDamages))
			must(t, p.Kill())
			for i, group := range groups {
				t.Logf("group %d: %s", group, logDamages[i].name)
				spoilFile(t, filepath.Join(p.DataDir, "groups", strconv.Itoa(int(group)), "raft.db"), logDamages[i].do)
			}
			return groups
		})
	})
	t.Run("shared", func(t *testing.T) { // one file for all groups
		r := newRig(t, plan{nodes: 3, devices: 40, rate: 300})
		r.logDamaged(func(p *fleet.Process) []uint32 {
			must(t, p.Kill())
			spoilFile(t, filepath.Join(p.DataDir, "log", "0000000000000001.wal"), func(b []byte) []byte {
				clear(b[4096:12288])
				return b
			})
			return r.groupIDs()
		})
	})
}

func spoilFile(t *testing.T, path string, do func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, do(b), 0o600))
}

// logDamaged damages the log of a node that is down, with a function that kills it first, and starts it again.
func (r *rig) logDamaged(damage func(*fleet.Process) []uint32) {
	r.t.Helper()
	r.resume()
	r.awaitAcks(600)
	r.awaitSettled()
	victim := r.Processes[2]
	groups := damage(victim)
	r.start()
	r.awaitAcks(100)
	r.awaitSettled()
	told := 0
	lines := strings.Split(victim.Tail(1<<20), "\n")
	for _, group := range r.groupIDs() {
		named := fmt.Sprintf("group=%d ", group)
		says := slices.ContainsFunc(lines, func(line string) bool {
			return strings.Contains(line, named) && (strings.Contains(line, "comes back under a new generation") || strings.Contains(line, "group does not start"))
		})
		if says && !slices.Contains(groups, group) {
			r.t.Errorf("group %d, whose log is whole, did not just go on", group)
		}
		if says {
			told++
		}
	}
	if told == 0 || len(groups) == len(logDamages) && told != len(groups) {
		r.t.Errorf("%d replicas say what became of them, of %d with a damaged log\n%s", told, len(groups), victim.Tail(tailBytes))
	}
	r.check("after a log was damaged", victim)
	r.verify()
}
