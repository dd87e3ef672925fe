package raftgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// What is held against a replica lies beside its shard, in shard.db.suspect:
//
//	{"format": 1, "crc32c": "9d2f41aa", "suspicions": [
//	  {"since": "2026-11-22T13:00:00Z", "disputed": false, "why": "...",
//	   "leaves": [{"window": 20412, "slot": 3}]}]}
//
// crc32c is over the bytes of the list as they stand in the file. The file is
// replaced as a whole, and its name made durable. It outlives the shard: what is
// built in its place is checked before it is trusted. Only one that cannot be read
// goes where there is no shard that it could speak of.

const (
	suspectFormat = 1
	// maxSuspectMark bounds what is read of a mark: twice maxSuspectLeaves, and two
	// reasons.
	maxSuspectMark = 2*maxSuspectLeaves*64 + 1<<17
	maxSuspectWhy  = 1 << 12
)

type suspectMark struct {
	Format     int             `json:"format"`
	CRC        string          `json:"crc32c"`
	Suspicions json.RawMessage `json:"suspicions"`
}

type markedSuspicion struct {
	Since    time.Time    `json:"since"`
	Disputed bool         `json:"disputed"`
	Why      string       `json:"why"`
	Leaves   []markedLeaf `json:"leaves"`
}

type markedLeaf struct {
	Window int64 `json:"window"`
	Slot   uint8 `json:"slot"`
}

func markedLeaves(leaves []digest.Leaf) []markedLeaf {
	marked := make([]markedLeaf, len(leaves))
	for i, l := range leaves {
		marked[i] = markedLeaf{l.Window, l.Slot}
	}
	return marked
}

func (h *Host) suspectPath(group uint32) string { return h.shardPath(group) + ".suspect" }

// markSuspect makes durable what is held against a replica; nothing: the mark
// goes.
func (h *Host) markSuspect(group uint32, s suspicions) error {
	path := h.suspectPath(group)
	if s.none() {
		return h.unmarkSuspect(group)
	}
	b, err := encodeSuspicions(s)
	if err != nil {
		return fmt.Errorf("mark suspicion: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("mark suspicion: %w", err)
	}
	next := path + ".new"
	if err := writeSynced(next, b); err != nil {
		return fmt.Errorf("mark suspicion: %w", errors.Join(err, os.Remove(next)))
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("mark suspicion: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func (h *Host) unmarkSuspect(group uint32) error {
	path := h.suspectPath(group)
	switch err := os.Remove(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("end suspicion: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// suspected reads the mark. One that cannot be read is an error: what it said
// must not be served.
func (h *Host) suspected(group uint32) (suspicions, error) {
	f, err := os.Open(h.suspectPath(group))
	if errors.Is(err, fs.ErrNotExist) {
		return suspicions{}, nil
	}
	if err != nil {
		return suspicions{}, fmt.Errorf("read suspicion: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSuspectMark))
	if err != nil {
		return suspicions{}, fmt.Errorf("read suspicion: %w", err)
	}
	return decodeSuspicions(b)
}

// forgetUnreadable removes a mark that cannot be read, where the file that it spoke
// of is gone, or replaced by a proven copy.
func (h *Host) forgetUnreadable(group uint32) error {
	if _, err := h.suspected(group); !errors.Is(err, errSuspectMark) {
		return err
	}
	return h.unmarkSuspect(group)
}

func encodeSuspicions(s suspicions) ([]byte, error) {
	var list []markedSuspicion
	for _, one := range []*Suspicion{s.wrong, s.disputed} {
		if one != nil {
			why := oneLine(one.Why)
			list = append(list, markedSuspicion{one.Since, one.Disputed, why[:min(len(why), maxSuspectWhy)], markedLeaves(one.Leaves)})
		}
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(suspectMark{suspectFormat, fmt.Sprintf("%08x", crc32.Checksum(raw, castagnoli)), raw})
	return append(b, '\n'), err
}

var errSuspectMark = errors.New("mark of a suspicion cannot be read")

func decodeSuspicions(b []byte) (s suspicions, err error) {
	var mark suspectMark
	if err := json.Unmarshal(b, &mark); err != nil {
		return s, fmt.Errorf("%w: %w", errSuspectMark, err)
	}
	if mark.Format != suspectFormat || mark.CRC != fmt.Sprintf("%08x", crc32.Checksum(mark.Suspicions, castagnoli)) {
		return s, fmt.Errorf("%w: format %d, or its checksum", errSuspectMark, mark.Format)
	}
	var list []markedSuspicion
	if err := json.Unmarshal(mark.Suspicions, &list); err != nil {
		return s, fmt.Errorf("%w: %w", errSuspectMark, err)
	}
	for _, m := range list {
		one := Suspicion{Since: m.Since, Disputed: m.Disputed, Why: m.Why}
		for _, l := range m.Leaves {
			one.Leaves = append(one.Leaves, digest.Leaf{Window: l.Window, Slot: l.Slot})
		}
		if len(one.Leaves) > 0 {
			s = s.with(one)
		}
	}
	return s, nil
}
