package directory

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// A file of an older version, which had no checksums of entries, is taken over as a whole; from then on one that has lost its
// vote is not taken for such a file.
func TestFileOfAnOlderVersionIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), logName)
	old, err := raftboltdb.NewBoltStore(path)
	must(t, err)
	for i := uint64(5); i <= 40; i++ {
		must(t, old.StoreLog(&raft.Log{Index: i, Term: 3, Data: Encode(SetSetting{Key: "k", Value: "v"})}))
	}
	must(t, old.SetUint64([]byte(keyCurrentTerm), 7))
	record := append(binary.BigEndian.AppendUint64([]byte{oldVoteVersion}, 6), "n2"...)
	must(t, old.Set(keyVote, binary.BigEndian.AppendUint32(record, crc32.Checksum(record, castagnoli))))
	must(t, old.Close())

	for range 2 { // as it was, and as it is now
		f, err := openLogFile(path, slog.New(slog.DiscardHandler))
		must(t, err)
		var log raft.Log
		must(t, f.GetLog(40, &log))
		if v := f.lastVote(); v.term != 7 || v.votedIn != 6 || string(v.candidate) != "n2" || f.held.first != 5 || f.held.last != 40 || log.Term != 3 || len(log.Extensions) > 0 {
			t.Fatalf("%+v, %d..%d, %+v", v, f.held.first, f.held.last, log)
		}
		must(t, f.Close())
	}
	raw, err := raftboltdb.NewBoltStore(path)
	must(t, err)
	must(t, raw.Set(keyVote, record[:1])) // stands for a record that is gone
	must(t, raw.Close())
	if _, err := readLogFile(path); !errors.Is(err, ErrStateLost) {
		t.Fatalf("without its vote: %v", err)
	}
}

// The last entry is away as a whole, and all pages are sound: the vote says that there was one.
func TestEntryThatIsMissingAtTheEndIsMissed(t *testing.T) {
	path := filepath.Join(t.TempDir(), logName)
	f, err := openLogFile(path, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, f.StoreLogs([]*raft.Log{{Index: 1, Term: 1}, {Index: 2, Term: 1}, {Index: 3, Term: 1}}))
	must(t, f.Close())
	raw, err := raftboltdb.NewBoltStore(path)
	must(t, err)
	must(t, raw.DeleteRange(3, 3))
	must(t, raw.Close())
	if err := Examine(filepath.Dir(path), true); !errors.Is(err, ErrStateLost) {
		t.Fatal(err)
	}
}

// A leader whose snapshot has gone bad makes another one, for who needs it.
func TestLateJoinerIsBroughtUpThoughTheSnapshotHasRotted(t *testing.T) {
	for _, name := range []string{"state.bin", "meta.json"} {
		bubble(t, func(t *testing.T, n *network) {
			members := n.cluster(1, 64)
			for range 30 {
				must(t, members[0].SetSetting(within(t, 10*time.Minute), "k", "v"))
			}
			trimBehindSnapshot(t, members[0])
			all, err := filepath.Glob(filepath.Join(members[0].cfg.Dir, snapshotsDir, "*", name))
			must(t, err)
			b, err := os.ReadFile(all[0])
			must(t, err)
			b[len(b)/2] ^= 4
			must(t, os.WriteFile(all[0], b, 0o600))
			m := n.start(nodeID(2))
			n.join(m)
			mustAgree(t, members[0], m)
		})
	}
}
